import CImageCodecs

/// The formats that are read.
enum ImageFormat: String, CaseIterable {
    case png = "PNG"
    case jpeg = "JPEG"
    case webp = "WebP"
    case gif = "GIF"
    case bmp = "BMP"
    case tiff = "TIFF"

    /// The format that the first bytes announce.
    init(of bytes: [UInt8]) throws(ImageError) {
        let formats = Self.allCases
        if let format = formats.first(where: { $0.begins(bytes) }) {
            self = format
        } else if let format = formats.first(where: { $0.begins(bytes, short: true) }) {
            throw ImageError(.truncated, "the \(format.rawValue) image ends after \(bytes.count) bytes")
        } else if let other = UnreadFormat(of: bytes) {
            throw ImageError(
                .unsupported,
                "the image is \(other.rawValue), which is not supported; convert it to PNG or JPEG (read are \(Self.list))"
            )
        } else {
            let start = bytes.prefix(4).map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0\(text)" : text
            }
            throw ImageError(
                .unknownFormat,
                "the image is none of \(Self.list); it begins with the bytes \(start.joined(separator: " "))"
            )
        }
    }

    private static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }

    /// The first bytes, one of these; nil where any byte may be.
    private var magics: [[UInt8?]] {
        switch self {
        case .png: [[0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]]
        case .jpeg: [[0xFF, 0xD8, 0xFF]]
        case .webp: [Array("RIFF".utf8) + [nil, nil, nil, nil] + Array("WEBP".utf8)]
        case .gif: [Array("GIF87a".utf8), Array("GIF89a".utf8)]
        case .bmp: [Array("BM".utf8)]
        // The number is 42, or 43 in files of more than 4 GiB; the high byte comes last or first.
        case .tiff: [[0x49, 0x49, 0x2A, 0], [0x4D, 0x4D, 0, 0x2A], [0x49, 0x49, 0x2B, 0], [0x4D, 0x4D, 0, 0x2B]]
        }
    }

    /// Whether the bytes begin so, or are only a part of such a beginning.
    private func begins(_ bytes: [UInt8], short: Bool = false) -> Bool {
        magics.contains { magic in
            let fits = zip(magic, bytes).allSatisfy { $0 == nil || $0 == $1 }
            return fits && (short ? bytes.count < magic.count : bytes.count >= magic.count)
        }
    }

    /// The functions of the codec; nil for the format that Bridge decodes itself.
    private typealias Header = (
        UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<cimg_header>?, UnsafeMutablePointer<CChar>?
    )
        -> cimg_status
    private typealias Pixels = (
        UnsafePointer<UInt8>?, Int, UnsafePointer<cimg_header>?, UnsafeMutablePointer<UInt8>?,
        UnsafeMutablePointer<CChar>?
    ) -> cimg_status

    private var codec: (header: Header, pixels: Pixels)? {
        switch self {
        case .png: (cimg_png_header, cimg_png_pixels)
        case .jpeg: (cimg_jpeg_header, cimg_jpeg_pixels)
        case .webp: (cimg_webp_header, cimg_webp_pixels)
        case .gif: (cimg_gif_header, cimg_gif_pixels)
        case .tiff: (cimg_tiff_header, cimg_tiff_pixels)
        case .bmp: nil
        }
    }

    /// The image as it is stored, not yet upright.
    func decode(_ bytes: [UInt8], limits: ImageLimits) throws(ImageError) -> StoredImage {
        guard let codec else { return try BMPReader(bytes).image(limits: limits) }
        // libpng reports a broken header, which is less specific.
        if self == .png, let (width, height) = ImageMetadata.pngSize(bytes), width == 0 || height == 0 {
            try limits.check(width: width, height: height)
        }
        var header = cimg_header()
        var message = [CChar](repeating: 0, count: Int(CIMG_MESSAGE))
        try check(
            bytes.withUnsafeBufferPointer { codec.header($0.baseAddress, $0.count, &header, &message) },
            message,
            count: bytes.count
        )
        let width = Int(header.width)
        let height = Int(header.height)
        try limits.check(width: width, height: height)
        let stored = StoredPixels(layout: cimg_layout(header.layout))
        var pixels = [UInt8](repeating: 0, count: width * height * stored.bytesPerPixel)
        try check(
            bytes.withUnsafeBufferPointer { source in
                pixels.withUnsafeMutableBufferPointer { pixels in
                    codec.pixels(source.baseAddress, source.count, &header, pixels.baseAddress, &message)
                }
            },
            message,
            count: bytes.count
        )
        return StoredImage(header, pixels: pixels)
    }

    private func check(_ status: cimg_status, _ message: [CChar], count: Int) throws(ImageError) {
        guard status != CIMG_OK else { return }
        let reason = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        switch status {
        case CIMG_TRUNCATED:
            throw ImageError(.truncated, "the \(rawValue) image is cut off: its \(count) bytes end before the image")
        case CIMG_NO_MEMORY:
            throw ImageError(.tooLarge, "the \(rawValue) image needs more memory than there is: \(reason)")
        case CIMG_UNSUPPORTED:
            throw ImageError(.unsupported, "the \(rawValue) image is of a kind that is not supported: \(reason)")
        default:
            throw ImageError(.broken, "the \(rawValue) image is damaged: \(reason)")
        }
    }
}

/// Formats that are recognised by their first bytes, so that an error can name them.
enum UnreadFormat: String, CaseIterable {
    case avif = "AVIF"
    case heic = "HEIC"
    case video = "a video"
    case jpeg2000 = "JPEG 2000"
    case jpegXL = "JPEG XL"
    case svg = "SVG"
    case html = "an HTML page"
    case psd = "PSD"
    case icon = "an icon (ICO)"
    case pdf = "PDF"
    case postScript = "PostScript"
    case portable = "a portable map (PNM)"
    case qoi = "QOI"
    case openEXR = "OpenEXR"
    case radiance = "Radiance HDR"
    case dds = "DDS"

    /// The format that the first bytes announce; nil for one that is not known.
    init?(of bytes: [UInt8]) {
        guard let format = Self.allCases.first(where: { $0.begins(bytes) }) else { return nil }
        self = format
    }

    private func begins(_ bytes: [UInt8]) -> Bool {
        func starts(_ text: String, at offset: Int = 0) -> Bool {
            bytes.dropFirst(offset).starts(with: Array(text.utf8))
        }
        // The kind of an ISO base media file, and the kinds that it is compatible with.
        let isMedia = bytes.count >= 12 && starts("ftyp", at: 4)
        func isBrand(_ names: [String]) -> Bool { isMedia && names.contains { starts($0, at: 8) } }
        switch self {
        case .avif: return isBrand(["avif", "avis"])
        case .heic: return isBrand(["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"])
        case .video: return isMedia || bytes.starts(with: [0x1A, 0x45, 0xDF, 0xA3])
        case .jpeg2000:
            return bytes.starts(with: [0xFF, 0x4F, 0xFF, 0x51])
                || bytes.starts(with: [0, 0, 0, 0x0C, 0x6A, 0x50, 0x20, 0x20, 0x0D, 0x0A, 0x87, 0x0A])
        case .jpegXL:
            return bytes.starts(with: [0xFF, 0x0A]) || bytes.starts(with: [0, 0, 0, 0x0C, 0x4A, 0x58, 0x4C, 0x20])
        case .svg: return starts("<svg") || (starts("<?xml") && head(of: bytes).contains("<svg"))
        case .html:
            let head = head(of: bytes).drop { $0.isWhitespace }
            return head.hasPrefix("<!doctype html") || head.hasPrefix("<html")
        case .psd: return starts("8BPS")
        case .icon: return bytes.starts(with: [0, 0, 1, 0]) || bytes.starts(with: [0, 0, 2, 0])
        case .pdf: return starts("%PDF")
        case .postScript: return starts("%!PS")
        case .portable:
            return bytes.count > 2 && starts("P") && (0x31...0x37).contains(bytes[1])
                && [0x0A, 0x0D, 0x20].contains(bytes[2])
        case .qoi: return starts("qoif")
        case .openEXR: return bytes.starts(with: [0x76, 0x2F, 0x31, 0x01])
        case .radiance: return starts("#?RADIANCE")
        case .dds: return starts("DDS ")
        }
    }

    private func head(of bytes: [UInt8]) -> String { String(decoding: bytes.prefix(1024), as: UTF8.self).lowercased() }
}
