import Imaging
import Testing

/// Every kind of file has the pixels that Pillow reads from it.
@Suite struct DecodingTests {
    @Test func everyFileHasThePixelsOfPillow() throws {
        let files = try ImageFixtures.load().files
        #expect(files.count > 140)
        for (name, expected) in files {
            let image = try Image(decoding: ImageFixtures.bytes(name))
            #expect(
                [image.width, image.height, image.channels] == [expected.width, expected.height, expected.channels],
                "\(name)"
            )
            #expect(fixtureHash(image.bytes) == expected.pixels, "pixels of \(name)")
            #expect(fixtureHash(image.withoutAlpha.bytes) == expected.plain, "\(name) without alpha")
            #expect(fixtureHash(image.compositedOnWhite.bytes) == expected.white, "\(name) on white")
            let loaded = try Image(loading: ImageFixtures.bytes(name))
            #expect(fixtureHash(loaded.bytes) == expected.loaded && !loaded.hasAlpha, "\(name) as a model gets it")
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
        expectError(.unknownFormat, "begins with the bytes 47 49 46 38", Array("GIF88a and more".utf8))
        expectError(.unknownFormat, "none of PNG, JPEG, WebP, GIF, BMP, TIFF; it begins with the bytes 0a", [10])
        expectError(.truncated, "the PNG image ends after 3 bytes", [0x89, 0x50, 0x4E])
        expectError(.truncated, "the JPEG image ends after 2 bytes", [0xFF, 0xD8])
        expectError(.truncated, "the WebP image ends after 10 bytes", Array("RIFFxxxxWE".utf8))
        expectError(.truncated, "the GIF image ends after 5 bytes", Array("GIF89".utf8))
        expectError(.truncated, "the TIFF image ends after 3 bytes", [0x4D, 0x4D, 0])
        let cut = [
            "rgb.png", "baseline-420.jpg", "progressive.jpg", "lossless.webp", "palette.gif", "rgb.bmp", "runs.bmp",
        ]
        expectError(.broken, "the TIFF image is damaged: ", Array(try ImageFixtures.bytes("tiff_lzw.tif").prefix(500)))
        for name in cut + ["tiles.tif"] {
            let bytes = try ImageFixtures.bytes(name)
            expectError(
                .truncated,
                "\(bytes.count / 2) bytes end before the image",
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

    @Test func aFormatThatIsNotReadIsNamed() {
        let media = { (brand: String) in [0, 0, 0, 0x20] + Array("ftyp\(brand)".utf8) + [0, 0, 0, 0] }
        let formats: [(String, [UInt8])] = [
            ("AVIF", media("avif")), ("AVIF", media("avis")), ("HEIC", media("heic")), ("HEIC", media("mif1")),
            ("a video", media("isom")),
            ("JPEG 2000", [0, 0, 0, 0x0C, 0x6A, 0x50, 0x20, 0x20, 0x0D, 0x0A, 0x87, 0x0A, 0]),
            ("JPEG 2000", [0xFF, 0x4F, 0xFF, 0x51, 0]), ("JPEG XL", [0xFF, 0x0A, 1]),
            ("SVG", Array("<svg xmlns=''>".utf8)),
            ("SVG", Array("<?xml version='1.0'?>\n<svg>".utf8)), ("an HTML page", Array("\n<!DOCTYPE HTML>".utf8)),
            ("PSD", Array("8BPS\0".utf8)), ("an icon (ICO)", [0, 0, 1, 0, 1, 0]), ("PDF", Array("%PDF-1.7".utf8)),
            ("a portable map (PNM)", Array("P6\n2 2".utf8)), ("QOI", Array("qoif".utf8)),
        ]
        for (name, bytes) in formats {
            expectError(.unsupported, "the image is \(name), which is not supported; convert it", bytes)
        }
    }

    @Test func kindsOfAFormatThatAreNotReadAreNamed() throws {
        var bitmap = try ImageFixtures.bytes("rgb.bmp")
        bitmap[28] = 2
        expectError(.unsupported, "2 bits for each pixel", bitmap)
        bitmap = try ImageFixtures.bytes("rgb.bmp")
        bitmap[30] = 4
        expectError(.unsupported, "compression 4", bitmap)
        bitmap[14] = 41
        expectError(.unsupported, "a header of 41 bytes", bitmap)
        var huge = try ImageFixtures.bytes("rgb.bmp")
        huge.replaceSubrange(18..<26, with: [0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0x7F])
        expectError(.tooLarge, "2147483647x2147483647", huge)
        var animation = try ImageFixtures.bytes("palette.gif")
        let image = try #require(
            animation.indices.first { animation[$0...].starts(with: [0x2C, 0, 0, 0, 0, 37, 0]) }
        )
        animation[image] = 0x3B
        expectError(.broken, "the GIF image is damaged: it has no image", animation)
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
