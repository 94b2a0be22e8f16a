import Foundation
import TestSupport
import Testing

/// The recorded values of `Tests/Fixtures/make_tokenizer_fixtures.py`.
enum TokenizerFixtures {
    static let path = "\(Fixtures.root)/tokenizers"

    /// A JSON file of the directory.
    static func json<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }

    /// A file of the directory as text.
    static func text(_ name: String) throws -> String {
        try String(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"), encoding: .utf8)
    }

    /// The strings that every tokenizer was asked for.
    static func strings() throws -> [String] {
        struct File: Decodable {
            struct Repeated: Decodable {
                var text: String

                init(from decoder: any Swift.Decoder) throws {
                    var container = try decoder.unkeyedContainer()
                    let part = try container.decode(String.self)
                    text = String(repeating: part, count: try container.decode(Int.self))
                }
            }
            var strings: [String]
            var repeated: [Repeated]
        }
        let file = try json("strings.json", as: File.self)
        return file.strings + file.repeated.map(\.text)
    }
}

extension TemporaryDirectory {
    /// Copies a recorded file of a tokenizer into the directory.
    func copy(tokenizerFile name: String) throws {
        let file = URL(filePath: "\(TokenizerFixtures.path)/\(name)")
        try FileManager.default.copyItem(at: file, to: url(file.lastPathComponent))
    }
}

/// What Python's tokenizers made of the strings.
struct Recorded: Decodable {
    var ids: String
    var text: String
    var offsets: String?
    var full: [String: [Int32]]
    var random: [[Int32]]?
    var randomText: String?
    var randomSkipped: String?
    var hello: [Int32]
    var vocabularySize: Int

    /// The hashes that a column holds.
    static func hashes(_ column: String?) throws -> [UInt32] {
        let data = try #require(column.flatMap { Data(base64Encoded: $0) })
        return stride(from: 0, to: data.count, by: 4).map { start in
            (0..<4).reduce(0) { $0 | UInt32(data[start + $1]) << UInt32(8 * $1) }
        }
    }
}

/// The hash that the fixtures use: FNV-1a of 64 bits with both halves xored.
func fixtureHash(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var value: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return UInt32(truncatingIfNeeded: value ^ value >> 32)
}

func fixtureHash(_ numbers: [Int32]) -> UInt32 {
    fixtureHash(numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> Int32(8 * $0)) } })
}
