import BridgeSupport
import Yams

/// What is wrong with a YAML text: the line, and one sentence.
struct YAMLProblem {
    /// Counted from 1; nil where the parser does not say.
    private let line: Int?
    private let sentence: String

    init(_ error: YamlError, in text: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            // What is missing at the end of a text is missing behind its last line break, where there is no line.
            let lines = text.count { $0.isNewline } + (text.last?.isNewline ?? true ? 0 : 1)
            line = min(mark.line, max(1, lines))
            // "while parsing a block mapping" begins before the place where the parser gave up.
            let location = context.map { $0.mark.line == mark.line ? "" : " of line \($0.mark.line)" } ?? ""
            let begun = context.map { ", \($0.text)\(location)" } ?? ""
            // A pattern that begins with a star is what people mean by it.
            let isAlias = (begun + problem).contains("alias")
            let hint = isAlias ? "; a text that begins with * stands in quotation marks" : ""
            sentence = "not valid YAML\(begun): \(problem)\(hint)"
        case .reader(let problem, let offset, _, _):
            line = offset.map { text.prefix($0).count { $0.isNewline } + 1 }
            sentence = "not valid YAML: \(problem)"
        case .duplicatedKeysInMapping(let keys, let context):
            let first = context.mark
            let key = keys.first ?? ""
            line = Self.line(ofSecond: key, first, in: text) ?? first.line
            let shown = RecipeField.shortened(key)
            sentence = "\(shown) is there more than once, first in line \(first.line); keep one of them"
        default:
            line = nil
            sentence = "not valid YAML: " + ("\(error)".split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
        }
    }

    /// The error about a file of a name.
    func error(_ name: String) -> BridgeError {
        BridgeError(.corruptInput, "\(name)\(line.map { ":\($0)" } ?? ""): \(sentence)")
    }

    /// The line in which a key of a block stands again, as far indented as at first; nil inside brackets.
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
