/// Where the rows of a file are, in a few bytes each: a file of 100 MB may have thirty million rows.
///
/// Each row is written as three numbers of as many bytes as they need: the distance from the row before, the length, and
/// the lines between. Every so many rows the sums are kept, so that a row is found without all those before it.
struct RowOffsets: Sendable {
    private var bytes: [UInt8] = []
    /// The bytes, the end and the line before every so many rows.
    private var marks: [(index: Int, end: Int, line: Int)] = []
    private static let spacing = 64

    /// How many rows there are.
    private(set) var count = 0
    /// Where the last row ends.
    private var end = 0
    /// The line that it begins in.
    private var line = 0

    var isEmpty: Bool { count == 0 }
    var indices: Range<Int> { 0..<count }

    /// Adds a row behind the others.
    mutating func append(_ location: RowFile.Place) {
        if count.isMultiple(of: Self.spacing) { marks.append((bytes.count, end, line)) }
        write(location.offset - end)
        write(location.count)
        write(location.line - line)
        (end, line) = (location.offset + location.count, location.line)
        count += 1
    }

    /// The place of a row.
    subscript(row: Int) -> RowFile.Place {
        var (index, end, line) = marks[row / Self.spacing]
        var location = RowFile.Place(offset: 0, count: 0, line: 0)
        for _ in 0...row % Self.spacing {
            location.offset = end + read(&index)
            location.count = read(&index)
            line += read(&index)
            end = location.offset + location.count
        }
        location.line = line
        return location
    }

    private mutating func write(_ number: Int) {
        var rest = UInt(bitPattern: number)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private func read(_ index: inout Int) -> Int {
        var number: UInt = 0
        var shift: UInt = 0
        while true {
            let byte = bytes[index]
            index += 1
            number |= UInt(byte & 0x7F) << shift
            if byte < 0x80 { return Int(bitPattern: number) }
            shift += 7
        }
    }
}
