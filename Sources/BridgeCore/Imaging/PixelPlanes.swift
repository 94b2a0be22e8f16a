/// Red, green and blue as float32 planes, the layout [3, height, width] that vision encoders take.
public struct PixelPlanes: Sendable, Equatable {
    /// The number of columns.
    public let width: Int
    /// The number of rows.
    public let height: Int
    /// `3 * height * width` values: all of red, then green, then blue, rows from the top.
    public let values: [Float]

    /// The planes of an RGB image, bit-equal with the rescaling and normalisation of transformers' Pillow path.
    ///
    /// - Throws: ``ImageError`` when the image has alpha: whether that is dropped or composited is for the caller.
    public init(_ image: Image, normalization: PixelNormalization) throws(ImageError) {
        guard !image.hasAlpha else {
            throw ImageError(.badRequest, "an image with alpha has to lose it before it is normalised")
        }
        let count = image.width * image.height
        let tables = (0..<3).map(normalization.table(channel:))
        (width, height) = (image.width, image.height)
        values = [Float](unsafeUninitializedCapacity: 3 * count) { output, written in
            image.bytes.withUnsafeBufferPointer { bytes in
                for (channel, table) in tables.enumerated() {
                    table.withUnsafeBufferPointer { table in
                        for index in 0..<count {
                            output[channel * count + index] = table[Int(bytes[3 * index + channel])]
                        }
                    }
                }
            }
            written = 3 * count
        }
    }

    /// Planes that were kept.
    ///
    /// - Parameters:
    ///   - values: `3 * height * width` values, as ``values`` has them.
    ///   - width: The number of columns.
    ///   - height: The number of rows.
    /// - Throws: ``ImageError`` when the number of values is another one, or the size is more than the limits allow.
    public init(values: [Float], width: Int, height: Int) throws(ImageError) {
        try ImageLimits.standard.check(width: width, height: height)
        guard values.count == 3 * width * height else {
            throw ImageError(
                .badRequest,
                "\(width)x\(height) pixels have \(3 * width * height) values in three planes, found \(values.count)"
            )
        }
        self.init(unchecked: values, width: width, height: height)
    }

    /// The planes with zeros added on the right and at the bottom.
    ///
    /// - Throws: ``ImageError`` when the new size is smaller, or more than the limits allow.
    public func padded(
        width: Int,
        height: Int,
        limits: ImageLimits = .standard
    ) throws(ImageError) -> PixelPlanes {
        guard width >= self.width, height >= self.height else {
            throw ImageError(
                .badRequest,
                "\(self.width)x\(self.height) pixels cannot be padded to \(width)x\(height)"
            )
        }
        try limits.check(width: width, height: height)
        guard width != self.width || height != self.height else { return self }
        var result = [Float](repeating: 0, count: 3 * width * height)
        for plane in 0..<3 {
            for row in 0..<self.height {
                let source = (plane * self.height + row) * self.width
                let target = (plane * height + row) * width
                result.replaceSubrange(target..<target + self.width, with: values[source..<source + self.width])
            }
        }
        return PixelPlanes(unchecked: result, width: width, height: height)
    }

    /// Every set of planes padded with zeros to the largest width and the largest height among them.
    ///
    /// - Throws: ``ImageError`` when that size is more than the limits allow.
    public static func padded(
        _ batch: [PixelPlanes],
        limits: ImageLimits = .standard
    ) throws(ImageError) -> [PixelPlanes] {
        let width = batch.map(\.width).max() ?? 0
        let height = batch.map(\.height).max() ?? 0
        var result: [PixelPlanes] = []
        for planes in batch { result.append(try planes.padded(width: width, height: height, limits: limits)) }
        return result
    }

    private init(unchecked values: [Float], width: Int, height: Int) {
        (self.values, self.width, self.height) = (values, width, height)
    }
}
