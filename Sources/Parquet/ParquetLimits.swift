/// Limits of what a file may require; a few bytes can claim to become gigabytes.
public struct ParquetLimits: Sendable, Equatable {
    /// Bytes of one page, unpacked.
    public var pageBytes: Int
    /// Values of one page, or of all pages of one row group's column where it is repeated.
    public var values: Int
    /// Bytes of decoded pages that are kept for the next row.
    public var cachedBytes: Int
    /// The most values of one row, at all levels.
    public var rowValues: Int

    /// Up to this size a page may decompress to any multiple of its size.
    private static let freeBytes = 64 << 20
    /// The largest ratio of decompressed to compressed size of a larger page; only one long value exceeds it.
    private static let mostGrowth = 64

    /// Limits; the defaults are sufficient for the files of common writers.
    public init(pageBytes: Int = 1 << 30, values: Int = 1 << 25, cachedBytes: Int = 1 << 26, rowValues: Int = 1 << 22) {
        self.pageBytes = pageBytes
        self.values = values
        self.cachedBytes = cachedBytes
        self.rowValues = rowValues
    }

    /// The most bytes that this many compressed bytes may become.
    func bytes(ofPacked count: Int) -> Int {
        let (grown, overflow) = count.multipliedReportingOverflow(by: Self.mostGrowth)
        return overflow ? pageBytes : min(pageBytes, max(Self.freeBytes, grown))
    }
}
