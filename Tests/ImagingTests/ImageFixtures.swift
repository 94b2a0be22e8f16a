import Foundation
import Imaging
import Testing

/// What Pillow and transformers made of the images: `Tests/Fixtures/make_image_fixtures.py`.
struct ImageFixtures: Decodable {
    /// A file, upright, as RGBA where it has alpha.
    struct File: Decodable {
        var width: Int
        var height: Int
        var channels: Int
        var pixels: UInt32
        var plain: UInt32
        var white: UInt32
        var loaded: UInt32
    }

    /// A resize of noise.
    struct Resize: Decodable, Sendable {
        var width: Int
        var height: Int
        var channels: Int
        var seed: UInt32
        var toWidth: Int
        var toHeight: Int
        var filter: String
        var hash: UInt32

        init(from decoder: any Decoder) throws {
            var row = try decoder.unkeyedContainer()
            width = try row.decode(Int.self)
            height = try row.decode(Int.self)
            channels = try row.decode(Int.self)
            seed = try row.decode(UInt32.self)
            toWidth = try row.decode(Int.self)
            toHeight = try row.decode(Int.self)
            filter = try row.decode(String.self)
            hash = try row.decode(UInt32.self)
        }
    }

    /// A processor's float planes for noise in a given size.
    struct Planes: Decodable {
        var width: Int
        var height: Int
        var seed: UInt32
        var toWidth: Int
        var toHeight: Int
        var filter: String
        var rescale: Double
        var mean: [Double]
        var deviation: [Double]
        var values: UInt32
        var padded: UInt32
        var first: [Double]
    }

    var files: [String: File]
    var resizes: [Resize]
    var planes: [Planes]
    var composited: UInt32

    static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/images").path

    static func load() throws -> ImageFixtures {
        try JSONDecoder().decode(
            ImageFixtures.self,
            from: Data(contentsOf: URL(fileURLWithPath: "\(directory)/expected.json"))
        )
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)")))
    }
}

/// The hash that the fixtures use: FNV-1a of 64 bits with both halves xored.
func fixtureHash(_ bytes: [UInt8]) -> UInt32 {
    bytes.withUnsafeBufferPointer { bytes in
        var value: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return UInt32(truncatingIfNeeded: value ^ value >> 32)
    }
}

/// The hash of the little-endian bytes of the values.
func fixtureHash(_ values: [Float]) -> UInt32 {
    values.map(\.bitPattern.littleEndian).withUnsafeBytes { fixtureHash(Array($0)) }
}

/// The noise of the fixtures' linear congruential generator.
func noise(_ width: Int, _ height: Int, _ channels: Int, seed: UInt32) throws -> Image {
    var state = seed
    let bytes = (0..<width * height * channels).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(state >> 24)
    }
    return try Image(width: width, height: height, channels: channels, bytes: bytes)
}
