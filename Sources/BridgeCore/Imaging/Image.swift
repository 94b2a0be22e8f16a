/// An image with 8 bits for each channel, rows from the top, red before green before blue before alpha.
public struct Image: Sendable, Equatable {
    /// The number of columns, at least 1.
    public let width: Int
    /// The number of rows, at least 1.
    public let height: Int
    /// 3 for RGB, 4 for RGB and an alpha that is not multiplied in.
    public let channels: Int
    /// `height` rows of `width` pixels of `channels` bytes, with nothing between them.
    public let bytes: [UInt8]

    /// An image from its bytes.
    ///
    /// - Throws: ``ImageError`` when a size is not positive, `channels` is neither 3 nor 4, or the bytes are not
    ///   `width * height * channels`.
    public init(width: Int, height: Int, channels: Int, bytes: [UInt8]) throws(ImageError) {
        guard channels == 3 || channels == 4 else {
            throw ImageError(.badRequest, "an image has 3 or 4 channels, not \(channels)")
        }
        guard try Self.byteCount(width, height, channels) == bytes.count else {
            throw ImageError(
                .badRequest,
                "an image of \(width)x\(height) pixels with \(channels) channels does not have \(bytes.count) bytes"
            )
        }
        self.init(unchecked: bytes, width: width, height: height, channels: channels)
    }

    /// For sizes that are known to fit the bytes.
    init(unchecked bytes: [UInt8], width: Int, height: Int, channels: Int) {
        self.width = width
        self.height = height
        self.channels = channels
        self.bytes = bytes
    }

    /// Whether the fourth channel is there.
    public var hasAlpha: Bool { channels == 4 }

    /// The part of the image inside a rectangle, which is cut to the image as the slice of an array is.
    ///
    /// - Throws: ``ImageError`` when nothing of the image is inside.
    public func cropped(x: Int, y: Int, width: Int, height: Int) throws(ImageError) -> Image {
        // Subtractions from a size cannot overflow; sums with the arguments could.
        guard x >= 0, y >= 0, x < self.width, y < self.height, width > 0, height > 0 else {
            throw ImageError(
                .badRequest,
                "nothing of an image of \(self.width)x\(self.height) pixels is inside \(width)x\(height) pixels at "
                    + "(\(x), \(y))"
            )
        }
        let columns = min(width, self.width - x)
        let rows = min(height, self.height - y)
        var part: [UInt8] = []
        part.reserveCapacity(columns * rows * channels)
        for row in y..<y + rows {
            let start = (row * self.width + x) * channels
            part += bytes[start..<start + columns * channels]
        }
        return Image(unchecked: part, width: columns, height: rows, channels: channels)
    }

    /// The bytes that an image takes.
    static func byteCount(_ width: Int, _ height: Int, _ channels: Int) throws(ImageError) -> Int {
        let (pixels, tooMany) = width.multipliedReportingOverflow(by: height)
        let (count, overflow) = pixels.multipliedReportingOverflow(by: channels)
        guard width > 0, height > 0, !tooMany, !overflow else {
            throw ImageError(.badRequest, "\(width)x\(height) pixels is not a valid size of an image")
        }
        return count
    }
}
