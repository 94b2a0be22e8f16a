import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Datasets
@testable import Trainer

/// Rows of files that are many, or hold much: what is kept of them is small, and what is too much is refused.
@Suite struct RowPlacesTests {
    @Test func everyOffsetIsTheOneThatWasAdded() {
        var random = TestSeed.generator()
        var (places, expected) = (RowOffsets(), [RowFile.Location]())
        var (offset, line) = (0, 1)
        for _ in 0..<1000 {
            offset += Int(random.next() % 3) + (random.next() % 50 == 0 ? 1 << 40 : 0)
            line += Int(random.next() % 4)
            let place = RowFile.Location(offset: offset, count: Int(random.next() % 70_000), line: line)
            places.append(place)
            expected.append(place)
            offset += place.count
        }
        #expect(places.count == 1000 && places.indices.map { places[$0] } == expected)
    }

    @Test func rowsOfLinesAndOfAListAreFound() throws {
        let directory = try TemporaryDirectory()
        func breaks(_ row: Int) -> String { String(repeating: "\n", count: row % 3) }
        let lines = (0..<500).map { "\(breaks($0)){\"row\": \($0)}" }.joined(separator: "\n")
        let list = "[" + (0..<500).map { "\(breaks($0)){\"row\":\n\($0)}" }.joined(separator: ",") + "]"
        for (name, text) in [("a.jsonl", lines), ("b.json", list)] {
            let file = try RowFile(path: try directory.write(Array(text.utf8), to: name))
            #expect(file.count == 500)
            for row in [499, 0, 63, 64, 65, 127, 128, 300] { #expect(try file.json(at: row)["row"]?.integer == row) }
        }
    }

    @Test func aRowOfMillionsOfValuesIsRefused() throws {
        let directory = try TemporaryDirectory()
        let messages = Array(repeating: "{\"role\":{}}", count: 1_500_000).joined(separator: ",")
        let path = try directory.write(Array("{\"messages\":[\(messages)]}\n".utf8), to: "rows.jsonl")
        expectError(mentioning: "rows.jsonl, line 1", "bytes of memory") { try RowFile(path: path).json(at: 0) }
    }

    @Test func aRowOfTooManyMessagesIsRefused() throws {
        let messages = Array(repeating: "{}", count: ConversationRow.mostMessages + 1).joined(separator: ",")
        let json = try JSON(parsing: Array("{\"messages\":[\(messages)]}".utf8))
        expectError(mentioning: "messages is a list of 131073 messages, expected at most 131072") {
            try ConversationRow.conversation(json, imageFolder: "")
        }
    }

    /// 300 MB of zeros are far more than 64 times the file.
    @Test func aFileThatUnpacksToMuchMoreIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/rows.jsonl.gz"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "head -c 300000000 /dev/zero | gzip -c > '\(path)'"]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        expectError(mentioning: path, "more than 268435456 bytes once it is unpacked") { try RowFile(path: path) }
    }
}
