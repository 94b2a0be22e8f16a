/// Finds the orientation in the containers around the pixels.
///
/// It parses the bytes itself: the codecs' interfaces to metadata differ, and each allocates the memory that the file
/// requests. Malformed metadata counts as absent, because the pixels are still valid.
enum ImageMetadata {
    /// The orientation from 1 to 8; 1 when the file does not say.
    static func orientation(in bytes: [UInt8], format: ImageFormat) -> Int {
        var exif: [UInt8] = []
        var xmp: ArraySlice<UInt8> = []
        switch format {
        case .png: png(bytes, &exif, &xmp)
        case .jpeg: jpeg(bytes, &exif, &xmp)
        case .webp: webp(bytes, &exif, &xmp)
        // EXIF is a TIFF file without pixels.
        case .tiff: exif = bytes
        case .gif, .bmp: break
        }
        return EXIFReader(exif).orientation ?? orientation(inXMP: xmp) ?? 1
    }

    /// Width and height in the header of a PNG file.
    static func pngSize(_ bytes: [UInt8]) -> (width: Int, height: Int)? {
        guard bytes.count >= 24 else { return nil }
        return (bigEndian(bytes, at: 16, count: 4), bigEndian(bytes, at: 20, count: 4))
    }

    /// The EXIF block and the uncompressed XMP packet among the chunks.
    private static func png(_ bytes: [UInt8], _ exif: inout [UInt8], _ xmp: inout ArraySlice<UInt8>) {
        // Length, name, content, checksum. The keyword is followed by a NUL, two bytes about compression, and the
        // language and the translated keyword, which are empty or short.
        let keyword = Array("XML:com.adobe.xmp".utf8) + [0, 0]
        var start = 8
        while bytes.count - start >= 12 {
            let length = bigEndian(bytes, at: start, count: 4)
            guard length <= bytes.count - start - 12 else { return }
            let content = bytes[start + 8..<start + 8 + length]
            switch Array(bytes[start + 4..<start + 8]) {
            case Array("eXIf".utf8): exif = Array(content)
            case Array("iTXt".utf8) where content.starts(with: keyword): xmp = content
            default: break
            }
            start += 12 + length
        }
    }

    /// The EXIF blocks, one after the other, and the XMP packet among the segments before the pixels.
    private static func jpeg(_ bytes: [UInt8], _ exif: inout [UInt8], _ xmp: inout ArraySlice<UInt8>) {
        let exifMark = Array("Exif\0\0".utf8)
        let xmpMark = Array("http://ns.adobe.com/xap/1.0/\0".utf8)
        var start = 2
        while bytes.count - start >= 4 {
            guard bytes[start] == 0xFF else { return }
            let marker = bytes[start + 1]
            // A marker may be preceded by any number of 0xFF.
            if marker == 0xFF {
                start += 1
                continue
            }
            // The pixels, or the end.
            if marker == 0xDA || marker == 0xD9 { return }
            // Markers without content.
            if marker == 0x01 || (0xD0...0xD8).contains(marker) {
                start += 2
                continue
            }
            let length = bigEndian(bytes, at: start + 2, count: 2)
            guard length >= 2, length <= bytes.count - start - 2 else { return }
            let content = bytes[start + 4..<start + 2 + length]
            if marker == 0xE1, content.starts(with: exifMark) {
                exif += content.dropFirst(exifMark.count)
            } else if marker == 0xE1, content.starts(with: xmpMark) {
                xmp = content.dropFirst(xmpMark.count)
            }
            start += 2 + length
        }
    }

    /// The EXIF block and the XMP packet among the chunks.
    private static func webp(_ bytes: [UInt8], _ exif: inout [UInt8], _ xmp: inout ArraySlice<UInt8>) {
        var start = 12
        while bytes.count - start >= 8 {
            let length = (0..<4).reduce(0) { $0 | Int(bytes[start + 4 + $1]) << (8 * $1) }
            guard length <= bytes.count - start - 8 else { return }
            let content = bytes[start + 8..<start + 8 + length]
            switch Array(bytes[start..<start + 4]) {
            case Array("EXIF".utf8): exif = Array(content)
            case Array("XMP ".utf8): xmp = content
            default: break
            }
            start += 8 + length + length % 2
        }
    }

    /// The first `tiff:Orientation="6"` or `<tiff:Orientation>6<`, which Pillow looks for in the same way.
    private static func orientation(inXMP packet: ArraySlice<UInt8>) -> Int? {
        let name = Array("tiff:Orientation".utf8)
        var rest = packet
        while let start = rest.firstIndex(of: name[0]) {
            rest = rest[start...]
            if rest.starts(with: name) {
                let value = rest.dropFirst(name.count)
                let digits = value.starts(with: Array("=\"".utf8)) ? value.dropFirst(2) : value.dropFirst()
                if value.first == UInt8(ascii: ">") || value.starts(with: Array("=\"".utf8)),
                    let digit = digits.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
                {
                    return Int(digit - UInt8(ascii: "0"))
                }
            }
            rest = rest.dropFirst()
        }
        return nil
    }

    private static func bigEndian(_ bytes: [UInt8], at start: Int, count: Int) -> Int {
        bytes[start..<start + count].reduce(0) { $0 << 8 | Int($1) }
    }
}
