public import JinjaTemplates

/// An error in a tokenizer or a chat template: one sentence for the user.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure, for a caller that reacts to it.
    public enum Code: String, Sendable {
        /// A file is missing or cannot be read.
        case unreadableFile
        /// The bytes of a file do not match its format.
        case badFile
        /// The file is valid and needs something that this library does not support.
        case unsupported
        /// A regular expression is wrong, or needs more steps than it may take on this text.
        case regularExpression
        /// A text, or what a file makes of one, takes more memory or time than is allowed.
        case tooLarge
        /// The syntax of a chat template is wrong.
        case templateSyntax
        /// A chat template failed while it ran, or exceeded its limits.
        case templateFailure
        /// A chat template refused the conversation with `raise_exception`.
        case templateRefusal
    }

    /// The kind of failure.
    public var code: Code
    /// What was found, what was expected and what to do.
    public var message: String
    /// The line of the chat template, from 1, where there is one.
    public var line: Int?

    init(_ code: Code, _ message: String, line: Int? = nil) {
        self.code = code
        self.message = message
        self.line = line
    }

    /// The error of a chat template, as an error of the tokenizer that has the template.
    public init(_ error: TemplateError) {
        let code: Code =
            switch error.code {
            case .badValue: .badFile
            case .syntax: .templateSyntax
            case .failure: .templateFailure
            case .refusal: .templateRefusal
            }
        self.init(code, error.message, line: error.line)
    }

    /// The message, after the line if it is known.
    public var description: String {
        guard let line else { return message }
        return "chat template, line \(line): \(message)"
    }

    /// The same error with the name of the file prepended, once.
    func inFile(_ path: String) -> TokenizerError {
        guard !message.hasPrefix(path) else { return self }
        return TokenizerError(code, "\(path): \(message)", line: line)
    }
}
