import Glibc

/// Which stretches of a content are here, written behind it while it is not whole.
///
/// Sixteen-byte pairs of where a stretch starts and ends, in little-endian: first the one from the start on, then those
/// beyond a gap, filled up with empty ones. A stretch that finds no place is fetched again.
struct DownloadState {
    /// Up to where there is no gap.
    var prefix: Int
    /// What is here beyond a gap, sorted.
    var parts: [Range<Int>]

    private static let mostParts = 31
    /// The bytes of a mark.
    static let byteCount = 16 * (1 + mostParts)

    /// A mark of these stretches.
    init(prefix: Int, parts: [Range<Int>]) {
        self.prefix = prefix
        let beyond = parts.filter { $0.lowerBound > prefix && !$0.isEmpty }
        self.parts = Array(beyond.sorted { $0.lowerBound < $1.lowerBound }.prefix(Self.mostParts))
    }

    /// The mark of a file that was left behind; nil where there is none.
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

    /// Writes it behind a content; false when the system does not let it, which `errno` explains.
    func write(to descriptor: Int32, byteCount: Int) -> Bool {
        var numbers = [UInt64](repeating: 0, count: Self.byteCount / 8)
        for (index, stretch) in ([0..<prefix] + parts).enumerated() {
            numbers[2 * index] = UInt64(stretch.lowerBound).littleEndian
            numbers[2 * index + 1] = UInt64(stretch.upperBound).littleEndian
        }
        return pwrite(descriptor, numbers, Self.byteCount, off_t(byteCount)) == Self.byteCount
    }
}
