import CImageCodecs

extension Image {
    /// Decodes a PNG, JPEG or WebP file and turns it upright as its EXIF or XMP orientation says.
    ///
    /// The pixels are those of Pillow's `ImageOps.exif_transpose` followed by `convert("RGBA")` when the file has an
    /// alpha channel or a transparent colour, and by `convert("RGB")` otherwise: a palette is looked up, grey is
    /// repeated, 16-bit colours lose their low byte, 16-bit grey is clipped at 255, CMYK becomes 255 minus ink. Of an
    /// animation it is the first picture. Colour profiles and gamma are not applied, as Pillow does not.
    ///
    /// It differs from Pillow on purpose where a PNG has no end (an error here), where EXIF is malformed (no orientation
    /// here), and where grey of 2 or 4 bits or colours of 16 bits name a transparent colour (libpng's reading of the
    /// standard here). An orientation inside compressed text of a PNG is not looked for.
    ///
    /// - Throws: ``ImageError`` with one sentence, for any bytes that are not such a file or exceed the limits.
    public init(decoding bytes: [UInt8], limits: ImageLimits = .standard) throws(ImageError) {
        guard !bytes.isEmpty else { throw ImageError(.empty, "the image file is empty") }
        try limits.check(bytes: bytes.count)
        let format = try ImageFormat(of: bytes)
        let stored = try format.decode(bytes, limits: limits)
        self = stored.turned(by: ImageMetadata.orientation(in: bytes, format: format))
    }
}

/// The formats that are read.
enum ImageFormat: String {
    case png = "PNG"
    case jpeg = "JPEG"
    case webp = "WebP"

    /// The format that the first bytes announce.
    init(of bytes: [UInt8]) throws(ImageError) {
        let formats: [ImageFormat] = [.png, .jpeg, .webp]
        if let format = formats.first(where: { $0.begins(bytes) }) {
            self = format
        } else if let format = formats.first(where: { bytes.count < $0.magic.count && $0.begins(bytes, short: true) }) {
            throw ImageError(.truncated, "the \(format.rawValue) image ends after \(bytes.count) bytes")
        } else {
            let start = bytes.prefix(4).map { byte in
                let text = String(byte, radix: 16)
                return text.count == 1 ? "0\(text)" : text
            }
            throw ImageError(
                .unknownFormat,
                "the image is neither PNG nor JPEG nor WebP; it begins with the bytes \(start.joined(separator: " "))"
            )
        }
    }

    /// The first bytes; nil where any byte may stand.
    private var magic: [UInt8?] {
        switch self {
        case .png: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        case .jpeg: [0xFF, 0xD8, 0xFF]
        case .webp: Array("RIFF".utf8) + [nil, nil, nil, nil] + Array("WEBP".utf8)
        }
    }

    private func begins(_ bytes: [UInt8], short: Bool = false) -> Bool {
        (short || bytes.count >= magic.count) && zip(magic, bytes).allSatisfy { $0 == nil || $0 == $1 }
    }

    private func header(
        _ bytes: UnsafePointer<UInt8>?,
        _ count: Int,
        _ header: inout cimg_header,
        _ message: UnsafeMutablePointer<CChar>?
    ) -> cimg_status {
        switch self {
        case .png: cimg_png_header(bytes, count, &header, message)
        case .jpeg: cimg_jpeg_header(bytes, count, &header, message)
        case .webp: cimg_webp_header(bytes, count, &header, message)
        }
    }

    private func pixels(
        _ bytes: UnsafePointer<UInt8>?,
        _ count: Int,
        _ header: inout cimg_header,
        _ pixels: UnsafeMutablePointer<UInt8>?,
        _ message: UnsafeMutablePointer<CChar>?
    ) -> cimg_status {
        switch self {
        case .png: cimg_png_pixels(bytes, count, &header, pixels, message)
        case .jpeg: cimg_jpeg_pixels(bytes, count, &header, pixels, message)
        case .webp: cimg_webp_pixels(bytes, count, &header, pixels, message)
        }
    }

    /// The picture as it is stored, not yet upright.
    func decode(_ bytes: [UInt8], limits: ImageLimits) throws(ImageError) -> Image {
        // libpng calls this a broken header, which says less.
        if self == .png, let (width, height) = ImageMetadata.pngSize(bytes), width == 0 || height == 0 {
            try limits.check(width: width, height: height)
        }
        var header = cimg_header()
        var message = [CChar](repeating: 0, count: Int(CIMG_MESSAGE))
        try check(
            bytes.withUnsafeBufferPointer { self.header($0.baseAddress, $0.count, &header, &message) },
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
                    self.pixels(source.baseAddress, source.count, &header, pixels.baseAddress, &message)
                }
            },
            message,
            count: bytes.count
        )
        return Image(
            unchecked: stored.colours(pixels),
            width: width,
            height: height,
            channels: stored == .rgba ? 4 : 3
        )
    }

    private func check(_ status: cimg_status, _ message: [CChar], count: Int) throws(ImageError) {
        guard status != CIMG_OK else { return }
        let reason = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        switch status {
        case CIMG_TRUNCATED:
            throw ImageError(.truncated, "the \(rawValue) image is cut off: its \(count) bytes end before the picture")
        case CIMG_NO_MEMORY:
            throw ImageError(.tooLarge, "the \(rawValue) image needs more memory than there is: \(reason)")
        case CIMG_UNSUPPORTED:
            throw ImageError(.unsupported, "the \(rawValue) image is of a kind that is not read: \(reason)")
        default:
            throw ImageError(.broken, "the \(rawValue) image is damaged: \(reason)")
        }
    }
}
