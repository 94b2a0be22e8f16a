import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub

/// Listings of a hub that cannot be true end with a sentence.
@Suite struct ListingTests {
    private let server: HubServer

    init() throws {
        server = try HubServer()
        try server.put("config.json", "{\"hidden_size\": 7}")
        try server.put("empty.txt", "")
    }

    private static let other = String(repeating: "a", count: 40)
    // git hash-object /dev/null
    private static let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

    private func entry(_ path: String, _ size: JSON, _ content: String = other) -> JSON {
        ["type": "file", "path": .string(path), "size": size, "oid": .string(content)]
    }

    /// What a download of everything ends with, where the hub lists these files.
    private func failure(_ entries: JSON...) async throws -> String {
        let body = String(decoding: JSON.array(entries).text(), as: UTF8.self)
        try await server.fail([
            "match": "GET /api/models/org/name/tree", "times": 9, "status": 200, "body": .string(body),
        ])
        do {
            return "nothing was wrong: \(try server.hub().directory(of: "org/name", for: .everything))"
        } catch { return "\(error)" }
    }

    @Test(.timeLimit(.minutes(1))) func aFileOfNoBytesWithAnotherContentIsNamed() async throws {
        let found = try await failure(entry("config.json", 0))
        #expect(found.contains("lists config.json with 0 bytes and the content '\(Self.other)'"), "\(found)")
    }

    @Test(.timeLimit(.minutes(1))) func anEmptyFileIsFetched() async throws {
        let found = try await failure(entry("empty.txt", 0, Self.empty))
        #expect(found.hasPrefix("nothing was wrong"), "\(found)")
    }

    @Test func onePathWithTwoContentsIsNamed() async throws {
        let found = try await failure(entry("a.json", 3), entry("a.json", 3, Self.empty))
        #expect(found.contains("lists 'a.json' of org/name twice"), "\(found)")
    }

    @Test func onePathThatIsListedAgainCountsOnce() throws {
        let file = HubFile(path: "a", byteCount: 3, blobID: Self.other)
        let repository = try #require(HubRepository("org/name"))
        #expect(try HubClient.distinct([file, file], in: repository) == [file])
    }

    @Test(arguments: [-1, 1_125_899_906_842_624, 1.5, "3", .null] as [JSON])
    func aSizeThatIsNoneIsNamed(_ size: JSON) async throws {
        let found = try await failure(entry("a.json", size))
        #expect(found.contains("lists 'a.json' with size"), "\(found)")
    }

    @Test(arguments: ["a\u{1B}[31m", "a\nb", "../a", "/a", "", "a//b", "a\u{7F}"])
    func aNameThatNoFileMayHaveIsRefused(_ name: String) async throws {
        let found = try await failure(entry(name, 3))
        #expect(found.contains("is not a file of a repository"), "\(found)")
    }
}
