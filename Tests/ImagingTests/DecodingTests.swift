import Imaging
import Testing

/// Every kind of file has the pixels that Pillow reads from it.
@Suite struct DecodingTests {
    @Test func everyFileHasThePixelsOfPillow() throws {
        let files = try ImageFixtures.load().files
        #expect(files.count > 40)
        for (name, expected) in files {
            let image = try Image(decoding: ImageFixtures.bytes(name))
            #expect(
                [image.width, image.height, image.channels] == [expected.width, expected.height, expected.channels],
                "\(name)"
            )
            #expect(fixtureHash(image.bytes) == expected.pixels, "pixels of \(name)")
            #expect(fixtureHash(image.withoutAlpha.bytes) == expected.plain, "\(name) without alpha")
            #expect(fixtureHash(image.compositedOnWhite.bytes) == expected.white, "\(name) on white")
            #expect(!image.withoutAlpha.hasAlpha && !image.compositedOnWhite.hasAlpha)
        }
    }

    @Test func everyAlphaOverEveryValueIsCompositedAsPillowDoes() throws {
        var bytes: [UInt8] = []
        for alpha in 0..<256 {
            for value in 0..<256 { bytes += [UInt8(value), UInt8(255 - value), UInt8(value ^ 0x5A), UInt8(alpha)] }
        }
        let image = try Image(width: 256, height: 256, channels: 4, bytes: bytes)
        #expect(try fixtureHash(image.compositedOnWhite.bytes) == ImageFixtures.load().composited)
    }

    @Test func aTurnTakesEachCornerWhereItBelongs() throws {
        // a b c
        // d e f
        let image = try Image(width: 3, height: 2, channels: 3, bytes: "abcdef".utf8.flatMap { [$0, $0, $0] })
        let expected = [
            1: "abcdef", 2: "cbafed", 3: "fedcba", 4: "defabc", 5: "adbecf", 6: "daebfc", 7: "fcebda", 8: "cfbead",
            0: "abcdef", 9: "abcdef",
        ]
        for (orientation, text) in expected {
            let turned = image.turned(by: orientation)
            #expect(turned.width == ((5...8).contains(orientation) ? 2 : 3))
            #expect(turned.width * turned.height == 6)
            #expect(turned.bytes == text.utf8.flatMap { [$0, $0, $0] }, "orientation \(orientation)")
        }
    }

    @Test func theLimitsAreCheckedBeforeThePixelsAreRead() throws {
        let files = ["rgb.png", "baseline-420.jpg", "lossy.webp"]
        for bytes in try files.map(ImageFixtures.bytes) {
            var limits = ImageLimits(bytes: bytes.count, side: 37, pixels: 37 * 29)
            #expect(try Image(decoding: bytes, limits: limits).width == 37)
            limits.side = 36
            expectError(.tooLarge, "37x29 pixels and a side may have at most 36", bytes, limits)
            limits = ImageLimits(bytes: bytes.count, side: 37, pixels: 37 * 29 - 1)
            expectError(.tooLarge, "37x29 pixels and may have at most 1072 in all", bytes, limits)
            limits = ImageLimits(bytes: bytes.count - 1, side: 37, pixels: 37 * 29)
            expectError(.tooLarge, "the image file has \(bytes.count) bytes", bytes, limits)
        }
        // A header that announces 2^31 - 1 columns and as many rows, with a right checksum.
        var huge = try ImageFixtures.bytes("rgb.png")
        huge.replaceSubrange(16..<24, with: [0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF])
        huge.replaceSubrange(29..<33, with: crc32(huge[12..<29]))
        expectError(.tooLarge, "2147483647x2147483647", huge)
    }

    @Test func aBadImageIsNamedInOneSentence() throws {
        expectError(.empty, "the image file is empty", [])
        expectError(.unknownFormat, "begins with the bytes 47 49 46 38", Array("GIF89a and more".utf8))
        expectError(.unknownFormat, "begins with the bytes 0a", [10])
        expectError(.truncated, "the PNG image ends after 3 bytes", [0x89, 0x50, 0x4E])
        expectError(.truncated, "the JPEG image ends after 2 bytes", [0xFF, 0xD8])
        expectError(.truncated, "the WebP image ends after 10 bytes", Array("RIFFxxxxWE".utf8))
        for name in ["rgb.png", "baseline-420.jpg", "progressive.jpg", "lossless.webp"] {
            let bytes = try ImageFixtures.bytes(name)
            expectError(
                .truncated,
                "\(bytes.count / 2) bytes end before the picture",
                Array(bytes.prefix(bytes.count / 2))
            )
        }
        var flat = try ImageFixtures.bytes("rgb.png")
        flat.replaceSubrange(16..<20, with: [0, 0, 0, 0])
        flat.replaceSubrange(29..<33, with: crc32(flat[12..<29]))
        expectError(.empty, "the image is 0x29 pixels", flat)
        var damaged = try ImageFixtures.bytes("rgb.png")
        damaged[damaged.count - 40] ^= 0x10
        expectError(.broken, "the PNG image is damaged: ", damaged)
        var components = try ImageFixtures.bytes("grey.jpg")
        let frame = try #require(components.indices.first { components[$0...].starts(with: [0xFF, 0xC0]) })
        components[frame + 5] = 0
        components[frame + 6] = 0
        expectError(.broken, "the JPEG image is damaged: ", components)
    }

    private func expectError(
        _ code: ImageError.Code,
        _ part: String,
        _ bytes: [UInt8],
        _ limits: ImageLimits = .standard,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do {
            let image = try Image(decoding: bytes, limits: limits)
            Issue.record("\(image.width)x\(image.height) pixels instead of an error", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
            #expect(error.message.contains(part), "\(error)", sourceLocation: sourceLocation)
            #expect(!error.message.contains("\n"), sourceLocation: sourceLocation)
        }
    }
}

/// The checksum of a PNG chunk's name and content, the high byte first.
func crc32(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var value: UInt32 = .max
    for byte in bytes {
        value ^= UInt32(byte)
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }
    value = ~value
    return (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
}
