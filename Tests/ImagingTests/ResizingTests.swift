import Imaging
import Testing

/// Sizes change as Pillow changes them, and values become float32 as transformers computes them.
@Suite struct ResizingTests {
    @Test func everyResizeHasTheBytesOfPillow() throws {
        let cases = try ImageFixtures.load().resizes
        #expect(cases.count > 200)
        for one in cases {
            let image = try noise(one.width, one.height, one.channels, seed: one.seed)
            let filter = try #require(ResizeFilter(rawValue: one.filter))
            let resized = try image.resized(width: one.toWidth, height: one.toHeight, filter: filter)
            #expect(resized.width == one.toWidth && resized.height == one.toHeight && resized.channels == one.channels)
            #expect(fixtureHash(resized.bytes) == one.hash, "\(one)")
        }
    }

    @Test func everyPlaneHasTheFloatsOfTheProcessors() throws {
        for one in try ImageFixtures.load().planes {
            let filter = try #require(ResizeFilter(rawValue: one.filter))
            let image = try noise(one.width, one.height, 3, seed: one.seed)
                .resized(width: one.toWidth, height: one.toHeight, filter: filter)
            let normalization = try PixelNormalization(rescale: one.rescale, mean: one.mean, deviation: one.deviation)
            let planes = try PixelPlanes(image, normalization: normalization)
            let count = one.toWidth * one.toHeight
            #expect(planes.values.count == 3 * count)
            #expect((0..<3).map { planes.values[$0 * count] } == one.first.map(Float.init))
            #expect(fixtureHash(planes.values) == one.values, "\(one)")
            let padded = try planes.padded(width: one.toWidth + 9, height: one.toHeight + 5)
            #expect(padded.width == one.toWidth + 9 && padded.height == one.toHeight + 5)
            #expect(fixtureHash(padded.values) == one.padded, "\(one)")
        }
    }

    @Test func aBatchIsPaddedToItsLargestSides() throws {
        let normalization = try PixelNormalization(rescale: 0.5, mean: [1, 2, 3], deviation: [2, 4, 5])
        let wide = try PixelPlanes(noise(5, 2, 3, seed: 7), normalization: normalization)
        let tall = try PixelPlanes(noise(3, 4, 3, seed: 8), normalization: normalization)
        let batch = try PixelPlanes.padded([wide, tall])
        #expect(batch.map(\.width) == [5, 5] && batch.map(\.height) == [4, 4])
        for (padded, original) in zip(batch, [wide, tall]) {
            for (index, value) in padded.values.enumerated() {
                let (plane, row, column) = (index / 20, index / 5 % 4, index % 5)
                let inside = row < original.height && column < original.width
                let source = (plane * original.height + row) * original.width + column
                #expect(value == (inside ? original.values[source] : 0))
            }
        }
        #expect(try PixelPlanes.padded([]).isEmpty)
        #expect(throws: ImageError.self) { try wide.padded(width: 4, height: 2) }
        #expect(throws: ImageError.self) { try wide.padded(width: .max, height: .max) }
    }

    @Test func aCropIsCutToTheImage() throws {
        let image = try Image(width: 3, height: 2, channels: 3, bytes: "abcdef".utf8.flatMap { [$0, $0, $0] })
        func text(_ image: Image) -> String {
            String(decoding: stride(from: 0, to: image.bytes.count, by: 3).map { image.bytes[$0] }, as: UTF8.self)
        }
        #expect(text(try image.cropped(x: 1, y: 0, width: 2, height: 2)) == "bcef")
        #expect(text(try image.cropped(x: 2, y: 1, width: .max, height: .max)) == "f")
        #expect(try image.cropped(x: 0, y: 0, width: 3, height: 2) == image)
        for (x, y, width, height) in [
            (3, 0, 1, 1), (0, 2, 1, 1), (-1, 0, 2, 2), (0, -1, 2, 2), (0, 0, 0, 1), (0, 0, 1, -1),
        ] {
            #expect(throws: ImageError.self) { try image.cropped(x: x, y: y, width: width, height: height) }
        }
    }

    @Test func impossibleRequestsAreErrors() throws {
        let image = try noise(4, 3, 3, seed: 1)
        for (width, height) in [(0, 1), (1, 0), (-1, 4), (.max, 2), (65_536, 1), (65_535, 65_535)] {
            #expect(throws: ImageError.self) { try image.resized(width: width, height: height, filter: .bicubic) }
        }
        #expect(throws: ImageError.self) { try Image(width: 2, height: 2, channels: 3, bytes: [0, 1, 2]) }
        #expect(throws: ImageError.self) { try Image(width: 1, height: 1, channels: 2, bytes: [0, 1]) }
        #expect(throws: ImageError.self) { try Image(width: .max, height: 3, channels: 3, bytes: []) }
        #expect(throws: ImageError.self) { try Image(width: -1, height: -1, channels: 3, bytes: [1, 2, 3]) }
        #expect(throws: ImageError.self) { try PixelNormalization(rescale: 1, mean: [0], deviation: [1, 1, 1]) }
        #expect(throws: ImageError.self) { try PixelNormalization(rescale: 1, mean: [0, 0, 0], deviation: [1, 0, 1]) }
        #expect(throws: ImageError.self) {
            try PixelNormalization(rescale: .nan, mean: [0, 0, 0], deviation: [1, 1, 1])
        }
        let normalization = try PixelNormalization(rescale: 1, mean: [1, 2, 3], deviation: [1, 2, 3])
        #expect(throws: ImageError.self) { try PixelPlanes(noise(2, 2, 4, seed: 1), normalization: normalization) }
    }
}
