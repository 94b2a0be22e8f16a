/// The tokens of a text and where in the text each came from.
public struct Encoding: Sendable, Equatable {
    /// The token ids.
    public internal(set) var ids: [Int32]
    /// For each token the range of UTF-8 bytes of the text; empty for tokens that were put around the text.
    public internal(set) var offsets: [Range<Int>]

    /// For each token whether it comes from one of some ranges of UTF-8 bytes, such as the assistant's messages.
    ///
    /// - Parameter ranges: Ranges in rising order that do not overlap.
    /// - Returns: One value for each token; false for tokens that were put around the text.
    public func mask(of ranges: [Range<Int>]) -> [Bool] {
        var current = 0
        return offsets.map { offset in
            while current < ranges.count, ranges[current].upperBound <= offset.lowerBound { current += 1 }
            guard !offset.isEmpty, current < ranges.count else { return false }
            return ranges[current].overlaps(offset)
        }
    }
}
