import CImageCodecs

/// The format of a codec's pixels, and its conversion to RGB.
enum StoredPixels {
    case grey
    case grey16
    case rgb
    case rgba
    case cmyk
    /// Indices of a palette.
    case palette
    /// Grey that is 0 or 255.
    case bilevel

    init(layout: cimg_layout) {
        switch layout {
        case CIMG_GREY: self = .grey
        case CIMG_GREY16: self = .grey16
        case CIMG_RGBA: self = .rgba
        case CIMG_CMYK: self = .cmyk
        case CIMG_PALETTE: self = .palette
        case CIMG_BILEVEL: self = .bilevel
        default: self = .rgb
        }
    }

    var bytesPerPixel: Int {
        switch self {
        case .grey, .palette, .bilevel: 1
        case .grey16: 2
        case .rgb: 3
        case .rgba, .cmyk: 4
        }
    }

    /// The same pixels as RGB, or as RGBA where they have alpha, as Pillow's `convert` computes them.
    func colours(_ pixels: [UInt8]) -> [UInt8] {
        switch self {
        case .rgb, .rgba: pixels
        case .grey, .bilevel, .palette: mapPixels(pixels, step: 1) { pixel in (pixel[0], pixel[0], pixel[0]) }
        case .grey16:
            mapPixels(pixels, step: 2) { pixel in
                let value = pixel[0] > 0 ? 255 : pixel[1]
                return (value, value, value)
            }
        case .cmyk:
            mapPixels(pixels, step: 4) { pixel in
                // Adobe's programs store inverted ink, and Pillow takes every CMYK JPEG for one of theirs.
                let light = Int(pixel[3])
                func channel(_ stored: UInt8) -> UInt8 {
                    UInt8(clamping: light - divided255((255 - Int(stored)) * light))
                }
                return (channel(pixel[0]), channel(pixel[1]), channel(pixel[2]))
            }
        }
    }
}

/// Three bytes for every `step` bytes.
func mapPixels(
    _ pixels: [UInt8],
    step: Int,
    _ colour: (UnsafePointer<UInt8>) -> (UInt8, UInt8, UInt8)
) -> [UInt8] {
    let count = pixels.count / step
    return [UInt8](unsafeUninitializedCapacity: count * 3) { output, written in
        pixels.withUnsafeBufferPointer { pixels in
            guard let start = pixels.baseAddress else { return }
            for index in 0..<count {
                (output[3 * index], output[3 * index + 1], output[3 * index + 2]) = colour(start + index * step)
            }
            written = count * 3
        }
    }
}

/// A product of two bytes divided by 255 and rounded, with the shifts that Pillow uses.
func divided255(_ product: Int) -> Int {
    let sum = product + 128
    return (sum >> 8 + sum) >> 8
}
