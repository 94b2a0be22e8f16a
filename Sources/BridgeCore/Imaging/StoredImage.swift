import CImageCodecs

/// An image as its file stores it.
///
/// A transparent colour is converted as by Pillow, which depends on the target mode.
struct StoredImage {
    var width: Int
    var height: Int
    var layout: StoredPixels
    /// `height` rows of `width` pixels of the layout.
    var pixels: [UInt8]
    /// Red, green, blue and alpha of 256 entries, where the pixels are indices.
    var palette: [UInt8] = []
    /// Whether the palette has alphas other than of one entry, which is wholly transparent.
    var hasAlphas = false
    /// The transparent colour as the file has it: an index, a grey, or red, green and blue.
    var key: [Int]?

    /// Pillow's `convert("RGBA")` where there is an alpha channel or a transparent colour, and `convert("RGB")` elsewhere.
    var image: Image {
        if layout == .palette {
            guard hasAlphas || key != nil else { return rgb }
            var palette = palette
            if let key = key?.first { palette[4 * key + 3] = 0 }
            let bytes = pixels.flatMap { palette[4 * Int($0)..<4 * Int($0) + 4] }
            return Image(unchecked: bytes, width: width, height: height, channels: 4)
        }
        guard let key else { return rgb }
        // Of a key only the low bytes count.
        let colour = key.map { UInt8(truncatingIfNeeded: $0) }
        return rgb.withKey(colour.count == 1 ? [colour[0], colour[0], colour[0]] : colour)
    }

    /// The image as a model gets it from transformers, which opens a file, converts it to RGB, and puts on white what is still
    /// transparent then.
    ///
    /// An alpha channel is gone by then; a transparent colour is kept, and is put on white.
    var loaded: Image {
        guard let colour = loadedKey else { return layout == .rgba ? rgb.withoutAlpha : rgb }
        return rgb.withKey(colour).compositedOnWhite
    }

    /// The transparent colour that is left after `convert("RGB")`.
    private var loadedKey: [UInt8]? {
        guard let key, let first = key.first else { return nil }
        switch layout {
        case .palette: return hasAlphas ? nil : Array(palette[4 * first..<4 * first + 3])
        case .grey: return Array(repeating: UInt8(clamping: first), count: 3)
        // The integer is not expanded, and is interpreted as red without green and blue.
        case .bilevel, .grey16: return [UInt8(truncatingIfNeeded: first), 0, 0]
        case .rgb: return key.map { UInt8(truncatingIfNeeded: $0) }
        case .rgba, .cmyk: return nil
        }
    }

    /// RGB, or RGBA where there is an alpha channel.
    private var rgb: Image {
        let bytes =
            layout == .palette
            ? mapPixels(pixels, step: 1) { [palette] pixel in
                let entry = 4 * Int(pixel[0])
                return (palette[entry], palette[entry + 1], palette[entry + 2])
            } : layout.colours(pixels)
        return Image(unchecked: bytes, width: width, height: height, channels: layout == .rgba ? 4 : 3)
    }
}

extension StoredImage {
    /// The output of a codec.
    init(_ header: cimg_header, pixels: [UInt8]) {
        self.init(
            width: Int(header.width),
            height: Int(header.height),
            layout: StoredPixels(layout: cimg_layout(header.layout)),
            pixels: pixels
        )
        if layout == .palette { palette = withUnsafeBytes(of: header.palette) { Array($0) } }
        if header.has_key != 0 {
            let (first, second, third, _) = header.key
            key = layout == .rgb ? [Int(first), Int(second), Int(third)] : [Int(first)]
            // One bit is a truth value, whatever its colour.
            if layout == .bilevel { key = [first != 0 ? 255 : 0] }
        }
        guard header.alphas > 0 else { return }
        // A palette of which one entry is transparent and all others are not has a transparent colour.
        let alphas = (0..<Int(header.alphas)).map { palette[4 * $0 + 3] }
        if alphas.count(where: { $0 == 0 }) == 1, alphas.allSatisfy({ $0 == 0 || $0 == 255 }) {
            key = alphas.firstIndex(of: 0).map { [$0] }
        } else {
            hasAlphas = true
        }
    }
}

extension Image {
    /// RGBA that is transparent where it has a colour.
    fileprivate func withKey(_ colour: [UInt8]) -> Image {
        guard !hasAlpha, colour.count == 3 else { return self }
        let (red, green, blue) = (colour[0], colour[1], colour[2])
        let count = width * height
        let result = [UInt8](unsafeUninitializedCapacity: 4 * count) { output, written in
            for index in 0..<count {
                let pixel = (bytes[3 * index], bytes[3 * index + 1], bytes[3 * index + 2])
                (output[4 * index], output[4 * index + 1], output[4 * index + 2]) = pixel
                output[4 * index + 3] = pixel == (red, green, blue) ? 0 : 255
            }
            written = 4 * count
        }
        return Image(unchecked: result, width: width, height: height, channels: 4)
    }
}
