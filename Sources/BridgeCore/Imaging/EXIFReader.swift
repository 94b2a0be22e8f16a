/// Reads the orientation of an EXIF block, which is a TIFF file without pixels.
struct EXIFReader {
    private let bytes: [UInt8]
    private let bigEndian: Bool

    init(_ block: [UInt8]) {
        // Some programs write the mark of the JPEG segment into other containers, and some write it twice.
        let mark = Array("Exif\0\0".utf8)
        var rest = block[...]
        for _ in 0..<2 where rest.starts(with: mark) { rest = rest.dropFirst(mark.count) }
        bytes = Array(rest)
        bigEndian = bytes.starts(with: Array("MM".utf8))
    }

    /// The value of the last entry for the orientation in the first directory; nil when it is missing or malformed.
    var orientation: Int? {
        guard bigEndian || bytes.starts(with: Array("II".utf8)), number(at: 2, count: 2) == 42,
            let directory = number(at: 4, count: 4), let entries = number(at: directory, count: 2)
        else { return nil }
        var found: Int?
        for entry in 0..<entries {
            let start = directory + 2 + 12 * entry
            guard let tag = number(at: start, count: 2), let type = number(at: start + 2, count: 2),
                let values = number(at: start + 4, count: 4)
            else { break }
            // A short or a long is stored in the entry itself; Pillow accepts no other type for an integer.
            guard tag == 0x0112, values == 1, let width = [3: 2, 4: 4][type] else { continue }
            found = number(at: start + 8, count: width) ?? found
        }
        return found
    }

    private func number(at start: Int, count: Int) -> Int? {
        guard start >= 0, start <= bytes.count - count else { return nil }
        let part = bytes[start..<start + count]
        return bigEndian ? part.reduce(0) { $0 << 8 | Int($1) } : part.reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}
