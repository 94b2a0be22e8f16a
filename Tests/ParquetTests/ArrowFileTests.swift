import Foundation
import JSONTree
import Parquet
import TestSupport
import Testing

/// The files and their rows were written by pyarrow 26.0.1; see Tests/Fixtures/arrow/make.py.
@Suite struct ArrowFileTests {
    private static let names = ["kinds", "kinds-file", "kinds-zstd", "delta", "replaced", "none"]

    private func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/arrow/\(name)").path
    }

    private func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: path("\(name).arrow"))))
    }

    private func rows(_ name: String) throws -> [JSON] {
        let text = [UInt8](try Data(contentsOf: URL(filePath: path("\(name).json"))))
        return try #require(JSON(parsing: text).array)
    }

    @Test(arguments: names) func everyValueIsThatOfPyarrow(_ name: String) throws {
        let file = try ArrowFile(path: path("\(name).arrow"))
        let expected = try rows(name)
        #expect(file.rowCount == expected.count)
        for row in expected.indices {
            let other = row * 5 % expected.count
            #expect(plain(try file.row(at: other)) == expected[other], "row \(other)")
        }
    }

    @Test func columnsComeInTheOrderInWhichTheyAreAsked() throws {
        let file = try ArrowFile(path: path("kinds.arrow"))
        guard case .structure(let fields) = try file.row(at: 1, columns: ["string", "bool"]) else {
            Issue.record("a row is not a structure")
            return
        }
        #expect(fields == [.init(name: "string", value: .string("a")), .init(name: "bool", value: .bool(false))])
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0, columns: ["other"]) }
        #expect(error?.description.hasPrefix("it has no column 'other'; it has bool, ") == true)
        for row in [-1, file.rowCount, Int.max, Int.min] {
            #expect(throws: ParquetError.self) { try file.row(at: row) }
        }
    }

    @Test func whatIsNotReadIsNamed() throws {
        let packed = #expect(throws: ParquetError.self) { try ArrowFile(path: path("lz4.arrow")).row(at: 0) }
        #expect(packed?.description.contains("LZ4") == true)
        let file = try ArrowFile(path: path("decimal.arrow"))
        #expect(try file.row(at: 0, columns: ["kept"])["kept"] == .int(5))
        let error = #expect(throws: ParquetError.self) { try file.row(at: 0) }
        #expect(error?.description.contains("a decimal") == true)
        let other = #expect(throws: ParquetError.self) { try ArrowFile(bytes: Array("PAR1 and more than that".utf8)) }
        #expect(other != nil)
    }

    @Test func aBatchThatBecomesThousandsOfTimesItsSizeIsRefused() throws {
        let error = #expect(throws: ParquetError.self) { try ArrowFile(path: path("grown.arrow")).row(at: 0) }
        #expect(error?.description.contains("more than 67108864 bytes once it is unpacked") == true)
    }

    @Test func aRowMayNotTakeMoreThanTheLimits() throws {
        let limits = ParquetLimits(pageBytes: 40, values: 10)
        #expect(throws: ParquetError.self) { try ArrowFile(bytes: bytes("kinds"), limits: limits).row(at: 6) }
        let few = ParquetLimits(pageBytes: 10)
        #expect(throws: ParquetError.self) { try ArrowFile(bytes: bytes("kinds-zstd"), limits: few).row(at: 0) }
    }

    @Test func damagedBytesNeverEndTheProcess() throws {
        var random = TestSeed.generator()
        let sound = try Self.names.map { try bytes($0) }
        let limits = ParquetLimits(pageBytes: 1 << 20, values: 1 << 14)
        var refused = 0
        for round in 0..<3000 {
            var bytes = sound[round % sound.count]
            for _ in 0...random.below(3) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            if random.below(5) == 0 { bytes.removeSubrange(random.below(bytes.count)...) }
            do {
                let file = try ArrowFile(bytes: bytes, limits: limits)
                for row in 0..<min(file.rowCount, 20) { _ = try file.row(at: row) }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 100, "\(refused), \(TestSeed.note)")
    }
}
