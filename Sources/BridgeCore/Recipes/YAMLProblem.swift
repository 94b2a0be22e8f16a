import BridgeSupport
import Yams

/// A problem of a YAML text: the line, and one sentence.
struct YAMLProblem {
    /// Counted from 1; nil if the parser does not report it.
    private let line: Int?
    private let sentence: String

    init(_ error: YamlError, in text: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            // The position of something missing at the end of a text is after the last line break, where there is no line.
            let lines = text.count { $0.isNewline } + (text.last?.isNewline ?? true ? 0 : 1)
            line = min(mark.line, max(1, lines))
            // The context, "while parsing a block mapping", starts before the position of the problem.
            let location = context.map { $0.mark.line == mark.line ? "" : " of line \($0.mark.line)" } ?? ""
            let begun = context.map { ", \($0.text)\(location)" } ?? ""
            // A star at the start is most likely a pattern of module names.
            let isAlias = (begun + problem).contains("alias")
            let hint = isAlias ? "; put a text that begins with * in quotation marks" : ""
            sentence = "not valid YAML\(begun): \(problem)\(hint)"
        case .reader(let problem, let offset, _, _):
            line = offset.map { text.prefix($0).count { $0.isNewline } + 1 }
            sentence = "not valid YAML: \(problem)"
        case .duplicatedKeysInMapping(let keys, let context):
            let first = context.mark
            let key = keys.first ?? ""
            line = Self.line(ofSecond: key, first, in: text) ?? first.line
            let shown = RecipeField.shortened(key)
            sentence = "\(shown) occurs more than once, first in line \(first.line); keep one of them"
        default:
            line = nil
            sentence = "not valid YAML: " + ("\(error)".split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
        }
    }

    /// The error about a file.
    func error(_ name: String) -> BridgeError {
        BridgeError(.corruptInput, "\(name)\(line.map { ":\($0)" } ?? ""): \(sentence)")
    }

    /// The line in which a key of a block is repeated with the same indentation; nil inside brackets.
    private static func line(ofSecond key: String, _ first: Mark, in text: String) -> Int? {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        let indent = first.column - 1
        let found = lines.indices.dropFirst(first.line).first { index in
            let line = lines[index]
            guard line.prefix(while: { $0 == " " }).count == indent else { return false }
            let rest = line.dropFirst(indent).drop { "'\"".contains($0) }
            return rest.hasPrefix(key) && rest.dropFirst(key.count).contains(":")
                && rest.dropFirst(key.count).prefix { $0 != ":" }.allSatisfy { "'\" ".contains($0) }
        }
        return found.map { $0 + 1 }
    }
}
