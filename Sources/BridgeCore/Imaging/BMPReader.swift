/// Reads Windows and OS/2 bitmaps: the pixels of Pillow's `BmpImagePlugin`.
///
/// The format: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
struct BMPReader {
    private let bytes: [UInt8]
    private var position = 14

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The fields of the header.
    private struct Header {
        var width: Int
        var height: Int
        var isTopDown: Bool
        var bits: Int
        var compression: Int
        var colours: Int
        /// Bytes of an entry of the palette.
        var entryBytes: Int
        /// The bits of red, green, blue and alpha, where the file specifies them.
        var masks: [Int] = []
    }

    private func number(at offset: Int, count: Int) throws(ImageError) -> Int {
        guard offset >= 0, offset <= bytes.count - count else { throw truncated }
        return bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private var truncated: ImageError {
        ImageError(.truncated, "the BMP image is cut off: its \(bytes.count) bytes end before the image")
    }

    private func unsupported(_ what: String) -> ImageError {
        ImageError(.unsupported, "the BMP image is of a kind that is not supported: \(what)")
    }

    /// The image.
    func image(limits: ImageLimits) throws(ImageError) -> StoredImage {
        let headerBytes = try number(at: 14, count: 4)
        var header = try self.header(headerBytes)
        try limits.check(width: header.width, height: header.height)
        var next = 14 + headerBytes
        let isMasked = header.compression == 3
        if isMasked, headerBytes == 40 {
            for index in 0..<3 { header.masks.append(try number(at: next + 4 * index, count: 4)) }
            header.masks.append(0)
            next += 12
        }
        if header.colours == 0 { header.colours = 1 << header.bits }
        var offset = try number(at: 10, count: 4)
        // Files whose pixel offset is that of their palette have the pixels after it.
        if offset == 14 + headerBytes, header.bits <= 8 { offset += header.entryBytes * header.colours }
        var stored = StoredImage(width: header.width, height: header.height, layout: .rgb, pixels: [])
        if header.bits <= 8 {
            try readPalette(header, at: next, into: &stored)
            next += header.entryBytes * header.colours
        } else {
            stored.layout = try layout(header) == .rgba ? .rgba : .rgb
        }
        let start = offset == 0 ? next : offset
        stored.pixels =
            try header.compression == 1 || header.compression == 2
            ? runs(header, at: start, isBilevel: stored.layout == .bilevel)
            : rows(header, at: start, stored.layout)
        return stored
    }

    private func header(_ size: Int) throws(ImageError) -> Header {
        if size == 12 {
            return Header(
                width: try number(at: 18, count: 2),
                height: try number(at: 20, count: 2),
                isTopDown: false,
                bits: try checked(bits: number(at: 24, count: 2)),
                compression: 0,
                colours: 0,
                entryBytes: 3
            )
        }
        guard [40, 52, 56, 64, 108, 124].contains(size) else { throw unsupported("a header of \(size) bytes") }
        let height = try number(at: 22, count: 4)
        let isTopDown = try number(at: 25, count: 1) == 0xFF
        var header = Header(
            width: try number(at: 18, count: 4),
            height: isTopDown ? 1 << 32 - height : height,
            isTopDown: isTopDown,
            bits: try checked(bits: number(at: 28, count: 2)),
            compression: try number(at: 30, count: 4),
            colours: try number(at: 46, count: 4),
            entryBytes: 4
        )
        guard (0...3).contains(header.compression) else { throw unsupported("compression \(header.compression)") }
        if header.compression == 3, size > 40 {
            for index in 0..<4 {
                header.masks.append(index < 3 || size > 52 ? try number(at: 54 + 4 * index, count: 4) : 0)
            }
        }
        // A file may claim to have a palette that is longer than itself.
        guard header.bits > 8 || header.colours <= 65_536 else {
            throw unsupported("a palette of \(header.colours) colours")
        }
        return header
    }

    private func checked(bits: Int) throws(ImageError) -> Int {
        guard [1, 4, 8, 16, 24, 32].contains(bits) else { throw unsupported("\(bits) bits for each pixel") }
        return bits
    }

    /// A palette of greys in their order is the identity, and one of black and white makes a bilevel image.
    private func readPalette(_ header: Header, at start: Int, into stored: inout StoredImage) throws(ImageError) {
        guard start <= bytes.count - header.entryBytes * header.colours else { throw truncated }
        stored.palette = [UInt8](repeating: 0, count: 1024)
        var isGrey = true
        for index in 0..<header.colours {
            let entry = Array(
                bytes[start + index * header.entryBytes..<start + index * header.entryBytes + 3].reversed()
            )
            let grey = header.colours == 2 ? 255 * index : index
            if entry != [UInt8](repeating: UInt8(truncatingIfNeeded: grey), count: 3) || grey > 255 { isGrey = false }
            if index < 256 { stored.palette.replaceSubrange(4 * index..<4 * index + 4, with: entry + [255]) }
        }
        guard isGrey, header.colours <= 2 || header.bits == 8 else {
            stored.layout = .palette
            return
        }
        stored.layout = header.colours <= 2 ? .bilevel : .grey
    }

    /// The positions of the channels in a pixel of two, three or four bytes.
    private enum Channels {
        /// Five bits of each, or six of green.
        case fiveBits, sixBits
        /// The indices of red, green and blue, and of alpha if there is one.
        case bytes([Int])
    }

    private func channels(_ header: Header) throws(ImageError) -> Channels {
        guard header.compression == 3 else {
            return header.bits == 16 ? .fiveBits : .bytes([2, 1, 0])
        }
        let known: [Int: [[Int]: Channels]] = [
            16: [[0xF800, 0x7E0, 0x1F]: .sixBits, [0x7C00, 0x3E0, 0x1F]: .fiveBits],
            24: [[0xFF0000, 0xFF00, 0xFF]: .bytes([2, 1, 0])],
            32: [
                [0xFF0000, 0xFF00, 0xFF, 0]: .bytes([2, 1, 0]),
                [0xFF00_0000, 0xFF_0000, 0xFF00, 0]: .bytes([3, 2, 1]),
                [0xFF00_0000, 0xFF00, 0xFF, 0]: .bytes([3, 1, 0]),
                [0xFF00_0000, 0xFF_0000, 0xFF00, 0xFF]: .bytes([3, 2, 1, 0]),
                [0xFF, 0xFF00, 0xFF_0000, 0xFF00_0000]: .bytes([0, 1, 2, 3]),
                [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000]: .bytes([2, 1, 0, 3]),
                [0xFF00_0000, 0xFF00, 0xFF, 0xFF_0000]: .bytes([3, 1, 0, 2]), [0, 0, 0, 0]: .bytes([2, 1, 0, 3]),
            ],
        ]
        let masks = Array(header.masks.prefix(header.bits == 32 ? 4 : 3))
        guard let found = known[header.bits]?[masks] else { throw unsupported("channels in unusual bits") }
        return found
    }

    private func layout(_ header: Header) throws(ImageError) -> StoredPixels {
        guard header.compression == 0 || header.compression == 3 else {
            throw unsupported("runs of \(header.bits) bits")
        }
        if case .bytes(let places) = try channels(header), places.count == 4 { return .rgba }
        return .rgb
    }

    /// Rows padded to four bytes, the lowest first unless the header specifies the opposite.
    private func rows(_ header: Header, at start: Int, _ layout: StoredPixels) throws(ImageError) -> [UInt8] {
        let stride = (header.width * header.bits + 31) >> 3 & ~3
        let (needed, overflow) = stride.multipliedReportingOverflow(by: header.height)
        // The padding of the last row may be missing.
        let least = needed - stride + (header.width * header.bits + 7) / 8
        guard !overflow, start <= bytes.count, least <= bytes.count - start else { throw truncated }
        // A pixel of a bilevel image is a bit, whatever the header specifies.
        let bits = layout == .bilevel ? 1 : header.bits
        let places: Channels = bits > 8 ? try channels(header) : .bytes([])
        var pixels: [UInt8] = []
        pixels.reserveCapacity(header.width * header.height * layout.bytesPerPixel)
        for row in 0..<header.height {
            let line = start + stride * (header.isTopDown ? row : header.height - 1 - row)
            for column in 0..<header.width {
                guard bits > 8 else {
                    let shift = 8 - bits - column * bits % 8
                    let value = bytes[line + column * bits / 8] >> shift & UInt8(1 << bits - 1)
                    pixels.append(layout == .bilevel ? value * 255 : value)
                    continue
                }
                let pixel = line + column * bits / 8
                switch places {
                case .bytes(let places): for location in places { pixels.append(bytes[pixel + location]) }
                case .fiveBits:
                    let value = Int(bytes[pixel]) | Int(bytes[pixel + 1]) << 8
                    for shift in [10, 5, 0] { pixels.append(UInt8((value >> shift & 31) * 255 / 31)) }
                case .sixBits:
                    let value = Int(bytes[pixel]) | Int(bytes[pixel + 1]) << 8
                    pixels.append(UInt8((value >> 11 & 31) * 255 / 31))
                    pixels.append(UInt8((value >> 5 & 63) * 255 / 63))
                    pixels.append(UInt8((value & 31) * 255 / 31))
                }
            }
        }
        return pixels
    }

    /// Runs of equal indices, as Pillow unpacks them.
    private func runs(_ header: Header, at start: Int, isBilevel: Bool) throws(ImageError) -> [UInt8] {
        guard header.bits <= 8 else { throw unsupported("runs of \(header.bits) bits") }
        let isHalf = header.compression == 2
        let (width, count) = (header.width, header.width * header.height)
        var data: [UInt8] = []
        data.reserveCapacity(count)
        var (location, x) = (start, 0)
        func taken(_ count: Int) -> ArraySlice<UInt8> {
            let first = min(location, bytes.count)
            location = min(first + count, bytes.count)
            return bytes[first..<location]
        }
        reading: while data.count < count {
            let pair = Array(taken(2))
            guard pair.count == 2 else { break }
            let (length, value) = (Int(pair[0]), pair[1])
            guard length == 0 else {
                let fitting = x + length > width ? max(0, width - x) : length
                for index in 0..<fitting { data.append(isHalf ? (index % 2 == 0 ? value >> 4 : value & 15) : value) }
                x += fitting
                continue
            }
            switch value {
            case 0:
                while data.count % width != 0 { data.append(0) }
                x = 0
            case 1: break reading
            case 2:
                let move = Array(taken(2))
                guard move.count == 2 else { break reading }
                let skipped = min(count - data.count, Int(move[0]) + Int(move[1]) * width)
                data += [UInt8](repeating: 0, count: max(0, skipped))
                x = data.count % width
            default:
                let wanted = min(count - data.count, Int(value))
                let bytesWanted = isHalf ? (wanted + 1) / 2 : wanted
                let found = taken(bytesWanted)
                for (index, byte) in found.enumerated() {
                    data.append(isHalf ? byte >> 4 : byte)
                    if isHalf, index * 2 + 1 < wanted { data.append(byte & 15) }
                }
                if found.count < bytesWanted || data.count == count { break reading }
                x += Int(value)
                if location % 2 != 0 { location += 1 }
            }
        }
        guard data.count >= count else { throw truncated }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(count)
        for row in 0..<header.height {
            let line = width * (header.isTopDown ? row : header.height - 1 - row)
            pixels += data[line..<line + width]
        }
        return isBilevel ? pixels.map { $0 == 0 ? 0 : 255 } : pixels
    }
}
