extension Image {
    /// The image in another size, bit-equal with `Image.resize` of Pillow 13 on 8 bits for each channel.
    ///
    /// One pass along the rows and one along the columns, with a rounding to bytes between; a direction that keeps its
    /// size is skipped. With alpha the colours are multiplied by it before and divided after, as Pillow does.
    ///
    /// - Throws: ``ImageError`` when the size is not positive or exceeds the limits.
    public func resized(
        width: Int,
        height: Int,
        filter: ResizeFilter,
        limits: ImageLimits = .standard
    ) throws(ImageError) -> Image {
        guard width > 0, height > 0 else {
            throw ImageError(.badRequest, "an image cannot be resized to \(width)x\(height) pixels")
        }
        try limits.check(width: width, height: height)
        guard width != self.width || height != self.height else { return self }
        // Pillow 13 begins with the columns when that drops many more rows; because of the rounding it can be seen.
        // Versions before 13 always begin with the rows.
        let columnsFirst = height < self.height && self.height - height > 2 * (self.width - width)
        // Between the passes the image has one old and one new side.
        try limits.check(
            width: columnsFirst ? self.width : width,
            height: columnsFirst ? height : self.height
        )
        let source = hasAlpha ? premultiplied : bytes
        let pixels =
            if columnsFirst {
                Self.resizedRows(
                    Self.resizedColumns(source, rows: self.height, to: height, filter: filter),
                    columns: self.width,
                    channels: channels,
                    to: width,
                    filter: filter
                )
            } else {
                Self.resizedColumns(
                    Self.resizedRows(source, columns: self.width, channels: channels, to: width, filter: filter),
                    rows: self.height,
                    to: height,
                    filter: filter
                )
            }
        return Image(
            unchecked: hasAlpha ? Self.dividedByAlpha(pixels) : pixels,
            width: width,
            height: height,
            channels: channels
        )
    }

    private static func resizedRows(
        _ pixels: [UInt8],
        columns: Int,
        channels: Int,
        to target: Int,
        filter: ResizeFilter
    ) -> [UInt8] {
        guard target != columns else { return pixels }
        let plan = ResizeWeights(from: columns, to: target, filter: filter)
        let sourceStride = columns * channels
        let rows = pixels.count / sourceStride
        return [UInt8](unsafeUninitializedCapacity: rows * target * channels) { output, written in
            pixels.withUnsafeBufferPointer { pixels in
                plan.weights.withUnsafeBufferPointer { weights in
                    for row in 0..<rows {
                        for column in 0..<target {
                            let count = plan.counts[column]
                            let first = column * plan.stride
                            let start = row * sourceStride + plan.starts[column] * channels
                            for channel in 0..<channels {
                                var sum: Int32 = 1 << (ResizeWeights.precision - 1)
                                var source = start + channel
                                for offset in 0..<count {
                                    sum &+= Int32(pixels[source]) &* weights[first &+ offset]
                                    source &+= channels
                                }
                                output[(row * target + column) * channels + channel] = ResizeWeights.byte(sum)
                            }
                        }
                    }
                }
            }
            written = rows * target * channels
        }
    }

    private static func resizedColumns(
        _ pixels: [UInt8],
        rows: Int,
        to target: Int,
        filter: ResizeFilter
    ) -> [UInt8] {
        guard target != rows else { return pixels }
        let plan = ResizeWeights(from: rows, to: target, filter: filter)
        let stride = pixels.count / rows
        // One row of sums at a time, so that memory is walked along the rows.
        var sums = [Int32](repeating: 0, count: stride)
        return [UInt8](unsafeUninitializedCapacity: target * stride) { output, written in
            pixels.withUnsafeBufferPointer { pixels in
                sums.withUnsafeMutableBufferPointer { sums in
                    for row in 0..<target {
                        sums.update(repeating: 1 << (ResizeWeights.precision - 1))
                        for offset in 0..<plan.counts[row] {
                            let weight = plan.weights[row * plan.stride + offset]
                            let source = (plan.starts[row] + offset) * stride
                            for index in 0..<stride {
                                sums[index] &+= Int32(pixels[source &+ index]) &* weight
                            }
                        }
                        for index in 0..<stride { output[row * stride + index] = ResizeWeights.byte(sums[index]) }
                    }
                }
            }
            written = target * stride
        }
    }
}
