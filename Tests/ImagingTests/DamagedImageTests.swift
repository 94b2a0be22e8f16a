import Imaging
import TestSupport
import Testing

/// Whatever is done to the bytes of a file, what comes out is an image within the limits or an error.
@Suite struct DamagedImageTests {
    static let limits = ImageLimits(bytes: 1 << 20, side: 4096, pixels: 1 << 18)

    @Test func aFileThatIsCutOffNeverGivesOtherPixels() throws {
        for name in try ImageFixtures.load().files.keys.sorted() {
            let bytes = try ImageFixtures.bytes(name)
            let whole = try Image(decoding: bytes)
            // Every length near both ends, and steps between.
            let lengths = Set(0..<min(64, bytes.count)).union(max(0, bytes.count - 24)..<bytes.count)
                .union(stride(from: 0, to: bytes.count, by: 17))
            for length in lengths {
                do {
                    let image = try Image(decoding: Array(bytes.prefix(length)), limits: Self.limits)
                    // A JPEG or a GIF whose end mark alone is missing has all its pixels, and so has a file with something
                    // behind them.
                    let mayBeShorter = [".jpg", ".gif", ".bmp", ".tif"].contains(where: name.hasSuffix)
                    #expect(mayBeShorter, "\(length) bytes of \(name)")
                    #expect(image == whole, "\(length) bytes of \(name)")
                } catch {
                    #expect(!error.message.isEmpty && !error.message.contains("\n"))
                }
            }
        }
    }

    @Test func aFileThatIsChangedIsAnImageOrAnError() throws {
        var generator = TestSeed.generator()
        var errors = 0
        var images = 0
        for name in try ImageFixtures.load().files.keys.sorted() {
            let bytes = try ImageFixtures.bytes(name)
            for _ in 0..<60 {
                do {
                    let image = try Image(decoding: generator.changed(bytes), limits: Self.limits)
                    #expect(image.width > 0 && image.height > 0 && image.width * image.height <= Self.limits.pixels)
                    #expect(image.bytes.count == image.width * image.height * image.channels)
                    images += 1
                } catch {
                    #expect(!error.message.isEmpty && !error.message.contains("\n"))
                    errors += 1
                }
            }
        }
        #expect(errors > 100 && images > 100, "\(errors) errors, \(images) images, \(TestSeed.note)")
    }

    /// Where the checksum of every chunk is mended, changes get past it and into the decoder.
    @Test func aPNGWithChangedBytesAndValidChecksumsIsAnImageOrAnError() throws {
        var generator = TestSeed.generator()
        for name in try ImageFixtures.load().files.keys.sorted() where name.hasSuffix(".png") {
            let bytes = try ImageFixtures.bytes(name)
            for _ in 0..<40 {
                var changed = bytes
                for _ in 0...generator.below(3) {
                    changed[8 + generator.below(bytes.count - 8)] = UInt8(generator.below(256))
                }
                var start = 8
                while start + 12 <= changed.count {
                    let length = changed[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
                    guard length <= changed.count - start - 12 else { break }
                    let end = start + 8 + length
                    changed.replaceSubrange(end..<end + 4, with: crc32(changed[start + 4..<end]))
                    start = end + 4
                }
                if let image = try? Image(decoding: changed, limits: Self.limits) {
                    #expect(image.bytes.count == image.width * image.height * image.channels)
                }
            }
        }
    }

    @Test func wrongMetadataIsIgnored() throws {
        let plain = try Image(decoding: ImageFixtures.bytes("orientation-1.jpg"))
        let bytes = try ImageFixtures.bytes("orientation-6.jpg")
        let block = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("Exif\0\0".utf8)) }) + 6
        #expect(try Image(decoding: bytes) != plain)
        // Order of bytes, magic number, place of the directory, tag, type, count, value.
        for (offset, values) in [
            (0, [0, 0xFF]), (2, [0, 0xFF]), (4, [0xFF, 200]), (10, [0]), (12, [2, 99]), (14, [2, 0xFF]), (18, [0, 9]),
        ] {
            for value in values {
                var changed = bytes
                changed[block + offset] = UInt8(value)
                let image = try Image(decoding: changed)
                #expect(image.width == 37 && image.height == 29, "\(value) at \(offset)")
            }
        }
    }
}

extension SplitMix {
    /// Bytes with some replaced, flipped, doubled, removed or moved.
    mutating func changed(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...below(4) where bytes.count > 16 {
            let place = below(bytes.count)
            let length = min(1 + below(12), bytes.count - place)
            switch below(5) {
            case 0: bytes[place] = UInt8(below(256))
            case 1: bytes[place] ^= 1 << UInt8(below(8))
            case 2: bytes.insert(contentsOf: Array(bytes[place..<place + length]), at: place)
            case 3: bytes.removeSubrange(place..<place + length)
            default:
                bytes.replaceSubrange(
                    place..<place + length,
                    with: [UInt8](repeating: [0, 0xFF, 0x7F][below(3)], count: length)
                )
            }
        }
        return bytes
    }
}
