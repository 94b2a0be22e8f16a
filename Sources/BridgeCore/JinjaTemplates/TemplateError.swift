/// An error in a chat template or its rendering: one sentence for the user.
public struct TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure, for a caller that reacts to it.
    public enum Code: String, Sendable {
        /// A conversation, a date or another value that the template is given is not valid.
        case badValue
        /// The syntax of the template is wrong.
        case syntax
        /// The template failed while it was rendered, or exceeded its limits.
        case failure
        /// The template rejected the conversation with `raise_exception`.
        case refusal
    }

    /// The kind of failure.
    public var code: Code
    /// What was found, what was expected and what to do.
    public var message: String
    /// The line of the template, from 1, where there is one.
    public var line: Int?

    init(_ code: Code, _ message: String, line: Int? = nil) {
        self.code = code
        self.message = message
        self.line = line
    }

    /// The message, after the line if it is known.
    public var description: String {
        guard let line else { return message }
        return "chat template, line \(line): \(message)"
    }
}
