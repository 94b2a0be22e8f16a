/// What a file may ask for before it is refused; a few bytes can claim to become gigabytes.
public struct ParquetLimits: Sendable, Equatable {
    /// Bytes of one page, unpacked.
    public var pageBytes: Int
    /// Values of one page, or of all pages of one row group's column where it is repeated.
    public var values: Int
    /// Bytes of decoded pages that are kept for the next row.
    public var cachedBytes: Int
    /// Values of one row, all the way down.
    public var rowValues: Int

    /// Up to here a page may unpack to any multiple of its size.
    private static let freeBytes = 64 << 20
    /// How many times its size a page beyond that may become; what is larger than it is one long value, which packs less.
    private static let mostGrowth = 64

    /// Limits; the defaults hold for everything that the usual writers write.
    public init(pageBytes: Int = 1 << 30, values: Int = 1 << 25, cachedBytes: Int = 1 << 26, rowValues: Int = 1 << 22) {
        self.pageBytes = pageBytes
        self.values = values
        self.cachedBytes = cachedBytes
        self.rowValues = rowValues
    }

    /// The most bytes that so many packed ones may become.
    func bytes(ofPacked count: Int) -> Int {
        let (grown, overflow) = count.multipliedReportingOverflow(by: Self.mostGrowth)
        return overflow ? pageBytes : min(pageBytes, max(Self.freeBytes, grown))
    }
}
