import Foundation
import JSONTree
import Parquet
import TestSupport
import Testing

/// The files and their rows were written by pyarrow 26.0.1; see Tests/Fixtures/parquet/make.py.
@Suite struct ParquetFileTests {
    private static let names =
        ["none", "snappy", "gzip", "zstd"].flatMap { ["flat-\($0)-v1", "flat-\($0)-v2"] }
        + ["delta", "images", "nested-v1", "nested-v2"]

    @Test(arguments: names) func everyValueIsThatOfPyarrow(_ name: String) throws {
        let file = try ParquetFile(path: Fixture.path(name + ".parquet"))
        let expected = try #require(try Fixture.json(name).array)
        #expect(file.rowCount == expected.count)
        #expect(try file.rows(in: 0..<file.rowCount).map(plain) == expected)
    }

    @Test(arguments: names) func rowsComeInAnyOrder(_ name: String) throws {
        let limits = ParquetLimits(cachedBytes: 1)
        let file = try ParquetFile(path: Fixture.path(name + ".parquet"), limits: limits)
        let expected = try #require(try Fixture.json(name).array)
        for row in expected.indices {
            let other = row * 5 % expected.count
            #expect(plain(try file.row(at: other)) == expected[other])
        }
    }

    @Test func columnsComeInTheOrderInWhichTheyAreAsked() throws {
        let file = try ParquetFile(path: Fixture.path("images.parquet"))
        let row = try file.row(at: 3, columns: ["question", "image"])
        guard case .structure(let fields) = row else {
            Issue.record("a row is no structure")
            return
        }
        #expect(fields.map(\.name) == ["question", "image"])
        #expect(row["question"] == .string("what is 3?"))
        #expect(row["image"]?["path"] == .string("3.png"))
        #expect(file.rowGroups == [0..<4, 4..<8, 8..<9])
        #expect(file.schema.map(\.kind) == [.structure, .string])
    }

    @Test func aPageThatBecomesThousandsOfTimesItsSizeIsRefused() throws {
        let file = try ParquetFile(path: Fixture.path("grown.parquet"))
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0) }
        #expect(error?.description.contains("at most 67108864") == true, "\(error?.description ?? "")")
    }

    @Test func aPageOfMillionsOfValuesThatAreAlikeIsRead() throws {
        let file = try ParquetFile(path: Fixture.path("alike.parquet"))
        #expect(file.rowCount == 2_100_000 && file.rowGroups.count == 1)
        for row in [0, 1, 3, 419, 1_000_003, 2_099_999] {
            let place = row % 420
            let flag: ParquetValue = place % 7 == 3 ? .null : .bool(place % 3 == 0)
            #expect(try file.row(at: row)["flag"] == flag && file.row(at: row)["text"] == .string("same"), "\(row)")
        }
    }

    @Test func aRowOfMoreValuesThanTheLimitIsRefused() throws {
        let limits = ParquetLimits(rowValues: 4)
        let file = try ParquetFile(path: Fixture.path("nested-v1.parquet"), limits: limits)
        let error = #expect(throws: ParquetError.self) { try file.row(at: 3) }
        #expect(error?.description.contains("more values than are supported") == true)
    }

    @Test(arguments: ["decimal", "brotli", "int96"]) func whatIsNotReadIsNamed(_ name: String) throws {
        let file = try ParquetFile(path: Fixture.path(name + ".parquet"))
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0) }
        #expect(error?.description.contains(name) == true)
    }

    @Test func columnsNextToAnUnsupportedOneAreRead() throws {
        let file = try ParquetFile(path: Fixture.path("decimal.parquet"))
        #expect(try file.row(at: 0, columns: ["kept"])["kept"] == .int(5))
    }

    @Test func anUnknownColumnAndARowAfterTheLastAreErrors() throws {
        let file = try ParquetFile(path: Fixture.path("images.parquet"))
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0, columns: ["photo"]) }
        #expect(error?.description == "it has no column 'photo'; it has image, question")
        for row in [-1, 9, Int.max, Int.min] {
            #expect(throws: ParquetError.self) { try file.row(at: row) }
        }
    }

    @Test(arguments: ["flat-gzip-v1", "nested-v2", "images"]) func aFileCutShortIsAnError(_ name: String) throws {
        let bytes = try Fixture.bytes(name + ".parquet")
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: ParquetError.self) { try ParquetFile(bytes: Array(bytes[..<count])) }
        }
    }

    @Test func aDamagedPageWithAChecksumIsAnError() throws {
        var bytes = try Fixture.bytes("flat-zstd-v1.parquet")
        let intact = try ParquetFile(bytes: bytes)
        #expect(throws: Never.self) { try intact.row(at: 0) }
        // Behind the first page's header, which has about thirty bytes.
        for index in 60..<64 { bytes[index] ^= 0x55 }
        let file = try ParquetFile(bytes: bytes)
        #expect(throws: ParquetError.self) { try file.row(at: 0) }
    }

    @Test func damagedBytesNeverEndTheProcess() throws {
        var random = TestSeed.generator()
        let limits = ParquetLimits(pageBytes: 1 << 20, values: 1 << 16)
        var refused = 0
        for name in ["flat-snappy-v1", "delta", "nested-v1", "images"] {
            let bytes = try Fixture.bytes(name + ".parquet")
            for _ in 0..<100 {
                var damaged = bytes
                for _ in 0..<4 { damaged[4 + random.below(bytes.count - 8)] = UInt8(random.below(256)) }
                do {
                    let file = try ParquetFile(bytes: damaged, limits: limits)
                    for row in 0..<min(file.rowCount, 70) { _ = try file.row(at: row) }
                } catch { refused += 1 }
            }
        }
        // Some damage is in values, where nothing shows it.
        #expect(refused > 100 && refused < 400, "\(refused), \(TestSeed.note)")
    }

    @Test func aPageLargerThanTheLimitIsRefused() throws {
        let file = try ParquetFile(path: Fixture.path("images.parquet"), limits: ParquetLimits(pageBytes: 50))
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0) }
        #expect(error?.description.hasSuffix("at most 50") == true)
    }
}

private enum Fixture {
    static func path(_ name: String) -> String {
        "\(Fixtures.root)/parquet/\(name)"
    }

    static func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path(name)))) }

    static func json(_ name: String) throws -> JSON { try JSON(parsing: try bytes(name + ".json")) }
}

/// The value as make.py writes it.
func plain(_ value: ParquetValue) -> JSON {
    switch value {
    case .null: .null
    case .bool(let value): .bool(value)
    case .int(let value): ["int": .string(String(value))]
    case .unsigned(let value): ["int": .string(String(value))]
    case .double(let value): ["double": .string(String(value.bitPattern))]
    case .string(let value): .string(value)
    case .bytes(let value): ["hex": .string(value.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())]
    case .list(let values): .array(values.map(plain))
    case .structure(let fields):
        ["struct": .array(fields.map { .array([.string($0.name), plain($0.value)]) })]
    }
}
