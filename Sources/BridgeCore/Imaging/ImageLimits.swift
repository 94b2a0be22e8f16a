/// The largest size of an image, checked before memory is allocated for its pixels.
public struct ImageLimits: Sendable, Equatable {
    /// The most bytes that a file may have.
    public var bytes: Int
    /// The most pixels that an image may have along one side.
    public var side: Int
    /// The most pixels that an image may have.
    public var pixels: Int

    /// Limits of a caller's own.
    public init(bytes: Int, side: Int, pixels: Int) {
        self.bytes = bytes
        self.side = side
        self.pixels = pixels
    }

    /// 256 MiB, 65,535 pixels a side, and the 89,478,485 pixels from which on Pillow warns of a decompression bomb.
    public static let standard = ImageLimits(bytes: 256 << 20, side: 65_535, pixels: 1 << 30 / 4 / 3)

    func check(bytes count: Int) throws(ImageError) {
        guard count <= bytes else {
            throw ImageError(.tooLarge, "the image file has \(count) bytes, expected at most \(bytes)")
        }
    }

    func check(width: Int, height: Int) throws(ImageError) {
        guard width > 0, height > 0 else {
            throw ImageError(.empty, "the image is \(width)x\(height) pixels, expected at least 1x1")
        }
        guard width <= side, height <= side else {
            throw ImageError(
                .tooLarge,
                "the image is \(width)x\(height) pixels and a side may have at most \(side); make it smaller"
            )
        }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= pixels else {
            throw ImageError(
                .tooLarge,
                "the image is \(width)x\(height) pixels and may have at most \(pixels) in all; make it smaller"
            )
        }
    }
}
