extension Image {
    /// The image rotated and flipped by an EXIF orientation from 1 to 8; unchanged for any other number.
    public func turned(by orientation: Int) -> Image {
        guard (2...8).contains(orientation) else { return self }
        let columns = orientation >= 5 ? height : width
        let rows = orientation >= 5 ? width : height
        // Where the pixel at the top left comes from, and how far the source moves for one step right and one down.
        let right = width - 1
        let bottom = (height - 1) * width
        let (origin, across, down) =
            switch orientation {
            case 2: (right, -1, width)
            case 3: (right + bottom, -1, -width)
            case 4: (bottom, 1, -width)
            case 5: (0, width, 1)
            case 6: (bottom, -width, 1)
            case 7: (right + bottom, -width, -1)
            default: (right, width, -1)
            }
        let turned = [UInt8](unsafeUninitializedCapacity: bytes.count) { output, written in
            bytes.withUnsafeBufferPointer { bytes in
                var target = 0
                for row in 0..<rows {
                    var source = (origin + row * down) * channels
                    for _ in 0..<columns {
                        for channel in 0..<channels { output[target + channel] = bytes[source + channel] }
                        target += channels
                        source += across * channels
                    }
                }
                written = target
            }
        }
        return Image(unchecked: turned, width: columns, height: rows, channels: channels)
    }
}
