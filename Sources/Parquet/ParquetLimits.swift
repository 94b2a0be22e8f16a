/// What a file may ask for before it is refused; a few bytes can claim to become gigabytes.
public struct ParquetLimits: Sendable, Equatable {
    /// Bytes of one page, unpacked.
    public var pageBytes: Int
    /// Values of one page, or of all pages of one row group's column where it is repeated.
    public var values: Int
    /// Bytes of decoded pages that are kept for the next row.
    public var cachedBytes: Int

    /// Limits; the defaults hold for everything that the usual writers write.
    public init(pageBytes: Int = 1 << 30, values: Int = 1 << 25, cachedBytes: Int = 1 << 26) {
        self.pageBytes = pageBytes
        self.values = values
        self.cachedBytes = cachedBytes
    }
}
