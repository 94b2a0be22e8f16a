import Foundation

/// The words that the glossary of the documentation replaces, and what finds them in a text.
public struct ReplacedWords: Sendable {
    /// Each word with what is written instead.
    public let table: [(word: String, instead: String)]

    private static let glossary =
        "\(Fixtures.repository)/Sources/BridgeCore/BridgeCore/Documentation.docc/Glossary.md"

    /// Reads the table "Replaced words" of the glossary.
    public init() throws {
        let text = try String(contentsOfFile: Self.glossary, encoding: .utf8)
        let rows = text.components(separatedBy: "## Replaced words").last?.split(separator: "\n") ?? []
        table = rows.filter { $0.hasPrefix("| `") }.flatMap { row in
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            return cells[0].split(separator: "`").filter { $0.contains { $0.isLetter } }
                .map { (String($0), cells.count > 1 ? cells[1] : "") }
        }
    }

    /// The lines of a text with a replaced word, each as "line: word".
    ///
    /// - Parameters:
    ///   - text: The text. What is in single backticks is a name and is skipped.
    ///   - allowed: Words that the text may contain.
    /// - Returns: The findings.
    public func found(in text: String, allowed: Set<String> = []) -> [String] {
        let words = table.map(\.word).filter { !allowed.contains($0) }
        return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().flatMap { number, line in
            let prose = Self.prose(String(line))
            return words.filter { Self.contains($0, in: prose) }.map { "\(number + 1): \($0)" }
        }
    }

    /// A line in lower case without names in backticks, and without "there is no", which is not "is no".
    private static func prose(_ line: String) -> String {
        let parts = line.lowercased().components(separatedBy: "`")
        let text =
            parts.count.isMultiple(of: 2)
            ? line.lowercased() : stride(from: 0, to: parts.count, by: 2).map { parts[$0] }.joined(separator: " ` ")
        return ["there is no ", "there are no "].reduce(text) { $0.replacingOccurrences(of: $1, with: "") }
    }

    private static func contains(_ word: String, in text: String) -> Bool {
        var start = text.startIndex
        while let range = text.range(of: word, range: start..<text.endIndex) {
            let before = range.lowerBound == text.startIndex ? " " : text[text.index(before: range.lowerBound)]
            let after = range.upperBound == text.endIndex ? " " : text[range.upperBound]
            // Parts of identifiers, such as image_folder, are names.
            if !(before.isLetter || before.isNumber || before == "_"),
                !(after.isLetter || after.isNumber || after == "_")
            {
                return true
            }
            start = range.upperBound
        }
        return false
    }
}
