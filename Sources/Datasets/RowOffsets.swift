/// The offsets of the rows of a file, in a few bytes each: a file of 100 MB may have thirty million rows.
///
/// Each row is stored as three integers of variable length: the distance from the row before, the length, and the lines
/// between. The sums are stored at regular intervals, so that a row is found without all those before it.
struct RowOffsets: Sendable {
    private var bytes: [UInt8] = []
    /// The bytes, the end and the line before every interval of rows.
    private var marks: [(index: Int, end: Int, line: Int)] = []
    private static let spacing = 64

    /// The number of rows.
    private(set) var count = 0
    /// The end of the last row.
    private var end = 0
    /// The line that it begins in.
    private var line = 0

    var isEmpty: Bool { count == 0 }
    var indices: Range<Int> { 0..<count }

    /// Appends a row.
    mutating func append(_ location: RowFile.Location) {
        if count.isMultiple(of: Self.spacing) { marks.append((bytes.count, end, line)) }
        write(location.offset - end)
        write(location.count)
        write(location.line - line)
        (end, line) = (location.offset + location.count, location.line)
        count += 1
    }

    /// The location of a row.
    subscript(row: Int) -> RowFile.Location {
        var (index, end, line) = marks[row / Self.spacing]
        var location = RowFile.Location(offset: 0, count: 0, line: 0)
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
