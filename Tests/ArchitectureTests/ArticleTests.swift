import Foundation
import TestSupport
import Testing

/// What articles name exists.
@Suite struct ArticleTests {
    private func article(_ name: String) throws -> String {
        try String(
            contentsOfFile: "\(Fixtures.repository)/Sources/BridgeCore/BridgeCore/Documentation.docc/\(name).md",
            encoding: .utf8
        )
    }

    @Test func everyTestThatTheArticleAboutNumericsNamesExists() throws {
        let names = try article("Numerics").matches(of: /`(\w+Tests)\.(\w+)`/).map { (String($0.1), String($0.2)) }
        #expect(names.count > 30)
        let suites = try SourceTree.files("Tests")
        for (suite, function) in names {
            let file = suites.first { $0.path.hasSuffix("/\(suite).swift") }
            #expect(file?.text.contains("func \(function)(") == true, "there is no \(suite).\(function)")
        }
    }

    @Test func everyCodeOfAnErrorIsInTheArticle() throws {
        let article = try article("Errors")
        let source = try #require(
            SourceTree.files("Sources/BridgeCore/BridgeSupport").first { $0.path.hasSuffix("/BridgeError.swift") }
        )
        let codes = source.text.matches(of: /Code\("(\w+)"\)/).map(\.1)
        #expect(codes.count >= 16)
        let statuses = try String(
            contentsOfFile: "\(Fixtures.repository)/Sources/bridge-cli/Terminal/Failure.swift",
            encoding: .utf8
        )
        for match in source.text.matches(of: /static let (\w+) = Code\("(\w+)"\)/) {
            let status = statuses.firstMatch(of: try Regex("\\.\(match.1): (\\d+)"))?.output[1].substring ?? "1"
            let row = article.split(separator: "\n").first { $0.hasPrefix("| `\(match.2)` |") }
            #expect(row?.hasSuffix("| \(status) |") == true, "\(match.2) has the status \(status): \(row ?? "no row")")
        }
    }

    /// Articles that are not in the list of the first page are not found by readers.
    @Test func everyArticleIsInTheListOfTheFirstPage() throws {
        let first = try article("BridgeCore")
        let names = try SourceTree.files("Sources/BridgeCore/BridgeCore/Documentation.docc", ending: ".md").map {
            String($0.path.split(separator: "/").last?.dropLast(3) ?? "")
        }
        #expect(names.count > 20)
        for name in names where name != "BridgeCore" { #expect(first.contains("<doc:\(name)>"), "\(name)") }
    }
}
