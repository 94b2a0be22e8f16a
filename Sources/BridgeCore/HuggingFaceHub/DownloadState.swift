import Glibc

/// The downloaded byte ranges of a file, stored after its content while it is incomplete.
///
/// Sixteen-byte pairs of start and end offset, little-endian: first the range from offset 0, then the ranges after a
/// gap, padded with empty pairs. A range that does not fit is downloaded again.
struct DownloadState {
    /// The end of the range from offset 0.
    var prefix: Int
    /// The ranges after a gap, sorted.
    var parts: [Range<Int>]

    private static let mostParts = 31
    /// The size of a stored state in bytes.
    static let byteCount = 16 * (1 + mostParts)

    /// A state with these ranges.
    init(prefix: Int, parts: [Range<Int>]) {
        self.prefix = prefix
        let beyond = parts.filter { $0.lowerBound > prefix && !$0.isEmpty }
        self.parts = Array(beyond.sorted { $0.lowerBound < $1.lowerBound }.prefix(Self.mostParts))
    }

    /// The state stored in an incomplete file; nil when it has none.
    init?(readFrom descriptor: Int32, byteCount: Int) {
        var status = stat()
        var numbers = [UInt64](repeating: 0, count: Self.byteCount / 8)
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == byteCount + Self.byteCount,
            pread(descriptor, &numbers, Self.byteCount, off_t(byteCount)) == Self.byteCount
        else { return nil }
        var stretches: [Range<Int>] = []
        for index in stride(from: 0, to: numbers.count, by: 2) {
            let (start, end) = (UInt64(littleEndian: numbers[index]), UInt64(littleEndian: numbers[index + 1]))
            if index > 0, start == end { continue }
            guard start <= end, end <= UInt64(byteCount), Int(start) >= stretches.last?.upperBound ?? 0 else {
                return nil
            }
            stretches.append(Int(start)..<Int(end))
        }
        guard stretches[0].lowerBound == 0 else { return nil }
        self.init(prefix: stretches[0].upperBound, parts: Array(stretches.dropFirst()))
    }

    /// Writes the state after the content; false when the write fails, with the reason in `errno`.
    func write(to descriptor: Int32, byteCount: Int) -> Bool {
        var numbers = [UInt64](repeating: 0, count: Self.byteCount / 8)
        for (index, stretch) in ([0..<prefix] + parts).enumerated() {
            numbers[2 * index] = UInt64(stretch.lowerBound).littleEndian
            numbers[2 * index + 1] = UInt64(stretch.upperBound).littleEndian
        }
        return pwrite(descriptor, numbers, Self.byteCount, off_t(byteCount)) == Self.byteCount
    }
}
