extension Image {
    /// RGB without the alpha channel, whatever its values: Pillow's `convert("RGB")`.
    public var withoutAlpha: Image {
        guard hasAlpha else { return self }
        return colours { pixel in (pixel[0], pixel[1], pixel[2]) }
    }

    /// RGB on a white background, bit-equal with Pillow's `Image.alpha_composite` on opaque white.
    public var compositedOnWhite: Image {
        guard hasAlpha else { return self }
        return colours { pixel in
            let alpha = Int(pixel[3])
            guard alpha > 0 else { return (255, 255, 255) }
            // Weights of 7 bits; the result on an opaque background is opaque, so its alpha is not needed.
            let weight = alpha * 255 * 255 << 7 / (255 * 255)
            let rest = 255 << 7 - weight
            func channel(_ value: UInt8) -> UInt8 {
                let sum = Int(value) * weight + 255 * rest + 0x80 << 7
                return UInt8(truncatingIfNeeded: (sum >> 8 + sum) >> 15)
            }
            return (channel(pixel[0]), channel(pixel[1]), channel(pixel[2]))
        }
    }

    private func colours(_ colour: (UnsafePointer<UInt8>) -> (UInt8, UInt8, UInt8)) -> Image {
        Image(unchecked: mapPixels(bytes, step: 4, colour), width: width, height: height, channels: 3)
    }

    /// Colours multiplied with alpha, as Pillow does it before it resizes an image with alpha.
    var premultiplied: [UInt8] {
        var result = bytes
        for index in stride(from: 0, to: result.count, by: 4) {
            let alpha = Int(result[index + 3])
            for channel in index..<index + 3 {
                result[channel] = UInt8(truncatingIfNeeded: divided255(Int(result[channel]) * alpha))
            }
        }
        return result
    }

    /// The inverse of ``premultiplied``, up to rounding, on the bytes of an image with alpha.
    static func dividedByAlpha(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for index in stride(from: 0, to: result.count, by: 4) {
            let alpha = Int(result[index + 3])
            guard alpha != 0, alpha != 255 else { continue }
            for channel in index..<index + 3 {
                result[channel] = UInt8(clamping: 255 * Int(result[channel]) / alpha)
            }
        }
        return result
    }
}
