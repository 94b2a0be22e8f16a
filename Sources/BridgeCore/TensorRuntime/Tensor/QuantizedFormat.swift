/// How the rows of a matrix are quantized: whole numbers, and a factor for each group of columns.
///
/// The numbers are symmetric about zero, as `symmetric: true` of compressed-tensors.
public struct QuantizedFormat: Sendable, Hashable {
    /// The bits of a number: 4 or 8.
    public let bits: Int
    /// How many columns share a factor; nil for all of a row.
    public let groupSize: Int?

    /// The bits that there are kernels for.
    public static let supportedBits = [4, 8]
    /// The sizes of groups that there are kernels for, besides whole rows.
    public static let groupSizes = [32, 64, 128]

    /// A format; nil for sizes that no kernel has.
    public init?(bits: Int, groupSize: Int?) {
        guard Self.supportedBits.contains(bits), groupSize.map(Self.groupSizes.contains) ?? true else { return nil }
        self.bits = bits
        self.groupSize = groupSize
    }

    /// Whether rows of this number of columns have whole groups.
    public func divides(_ columns: Int) -> Bool { columns > 0 && columns % (groupSize ?? columns) == 0 }

    /// The columns of a group in rows of this number of columns.
    func groupWidth(_ columns: Int) -> Int { groupSize ?? columns }

    /// The groups of a row of this number of columns.
    public func groupCount(_ columns: Int) -> Int { columns / max(groupWidth(columns), 1) }

    /// The bytes of the numbers of a row: whole words of 32 bits, as compressed-tensors packs them.
    public func rowByteCount(_ columns: Int) -> Int { (columns * bits + 31) / 32 * 4 }

    /// The bytes of a matrix, factors included.
    public func byteCount(rows: Int, columns: Int) -> Int {
        rows * (rowByteCount(columns) + groupCount(columns) * ElementType.bfloat16.byteCount)
    }
}
