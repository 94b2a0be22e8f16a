import BridgeCore

/// Finds rows in a file that is read in pieces: the lines, or, if the file begins with `[`, the elements of that list.
struct RowScanner {
    private enum Form {
        case unknown, lines, list, ended
    }

    private let path: String
    private var form = Form.unknown
    private var line = 1
    private var locations = RowOffsets()
    /// The row that has begun.
    private var current: RowFile.Location?
    /// The end of what is not white space in it.
    private var end = 0
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    init(path: String) { self.path = path }

    /// Scans the next piece.
    mutating func scan(_ bytes: ArraySlice<UInt8>, at start: Int) throws {
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let offset = start + index - bytes.startIndex
            if form == .lines {
                // Most of a file is the inside of lines, so that is not looked at byte by byte.
                let lineEnd = bytes[index...].firstIndex(of: 0x0A) ?? bytes.endIndex
                takeLine(bytes[index..<lineEnd], at: offset)
                index = lineEnd
                if index < bytes.endIndex {
                    finishRow()
                    line += 1
                    index += 1
                }
                continue
            }
            let byte = bytes[index]
            let isSpace = Self.isSpace(byte)
            switch form {
            case .unknown where !isSpace:
                form = byte == UInt8(ascii: "[") ? .list : .lines
                // A line is scanned as a whole, this byte included.
                if form == .lines { continue }
            case .unknown, .lines: break
            case .list: try scanList(byte, offset, isSpace: isSpace)
            case .ended:
                guard isSpace else {
                    throw BridgeError(.corruptInput, "\(path), line \(line): something follows the list of rows")
                }
            }
            if byte == 0x0A { line += 1 }
            index += 1
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

    /// Scans a line, or the part of one in a piece.
    private mutating func takeLine(_ bytes: ArraySlice<UInt8>, at offset: Int) {
        guard let first = bytes.firstIndex(where: { !Self.isSpace($0) }),
            let last = bytes.lastIndex(where: { !Self.isSpace($0) })
        else { return }
        take(offset + first - bytes.startIndex, isSpace: false)
        take(offset + last - bytes.startIndex, isSpace: false)
    }

    private mutating func scanList(_ byte: UInt8, _ offset: Int, isSpace: Bool) throws {
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
            }
            return take(offset, isSpace: false)
        }
        switch byte {
        case UInt8(ascii: ",") where depth == 0:
            guard current != nil else {
                throw BridgeError(.corruptInput, "\(path), line \(line): a comma without a row before it")
            }
            finishRow()
        case UInt8(ascii: "]") where depth == 0:
            finishRow()
            form = .ended
        default:
            if byte == UInt8(ascii: "\"") { isInString = true }
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") { depth -= 1 }
            take(offset, isSpace: isSpace)
        }
    }

    private mutating func take(_ offset: Int, isSpace: Bool) {
        guard !isSpace else { return }
        if current == nil { current = RowFile.Location(offset: offset, count: 0, line: line) }
        end = offset + 1
    }

    private mutating func finishRow() {
        guard var row = current else { return }
        row.count = end - row.offset
        locations.append(row)
        current = nil
    }

    /// The rows of a file that ends here.
    mutating func finish(at offset: Int) throws -> RowOffsets {
        guard form != .list else {
            throw BridgeError(
                .corruptInput,
                "\(path), line \(current?.line ?? line): the list of rows has no end; the file seems to be truncated"
            )
        }
        finishRow()
        return locations
    }
}
