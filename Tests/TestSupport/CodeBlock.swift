import Foundation

/// A fenced block of a document in Markdown.
public struct CodeBlock: Sendable {
    /// The document's path in the repository.
    public let document: String
    /// The number of its first line.
    public let line: Int
    /// The language; empty for a block without one.
    public let language: String
    /// Its text.
    public let text: String

    /// The document and the line, for messages.
    public var place: String { "\(document):\(line)" }

    /// The blocks of README.md, of the other guides, and of all articles.
    public static func all() throws -> [CodeBlock] {
        let articles = "Sources/BridgeCore/BridgeCore/Documentation.docc"
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.repository)/\(articles)")
        let guides = [
            "README.md", "CONTRIBUTING.md", "Examples/README.md", "Fuzz/README.md", "Sources/BridgeCore/README.md",
        ]
        return try (guides + names.filter { $0.hasSuffix(".md") }.sorted().map { "\(articles)/\($0)" }).flatMap(blocks)
    }

    private static func blocks(of document: String) throws -> [CodeBlock] {
        let text = try String(contentsOfFile: "\(Fixtures.repository)/\(document)", encoding: .utf8)
        var blocks: [CodeBlock] = []
        var open: (line: Int, language: String, lines: [Substring])?
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let content = line.drop { $0 == " " }
            if content.hasPrefix("```") {
                if let (line, language, lines) = open {
                    let text = lines.joined(separator: "\n") + "\n"
                    blocks.append(CodeBlock(document: document, line: line, language: language, text: text))
                    open = nil
                } else {
                    open = (number + 2, String(content.dropFirst(3)), [])
                }
            } else {
                open?.lines.append(line)
            }
        }
        return blocks
    }
}
