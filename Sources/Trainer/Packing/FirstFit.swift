/// Packs samples into rows of one size: each into the first row with enough room (first fit).
///
/// The rooms of the rows are the leaves of a tree whose nodes have the largest room below them, so a sample takes logarithmic time.
/// Megatron Bridge packs in the same way (`data/datasets/packing_utils.py`, 0.6).
struct FirstFit {
    /// The indices of the samples of each row, in the order in which they were added.
    private(set) var rows: [[Int]] = []

    /// Packs samples.
    ///
    /// - Parameters:
    ///   - order: The indices of the samples, in the order in which they are packed.
    ///   - lengths: The number of tokens of each sample, at most `size`.
    ///   - size: The number of tokens of a row.
    init(_ order: [Int], lengths: [Int], size: Int) {
        var leaves = 1
        while leaves < order.count { leaves *= 2 }
        // Rows that are not begun have all their room.
        var rooms = Array(repeating: size, count: 2 * leaves)
        for sample in order {
            var node = 1
            while node < leaves { node = rooms[2 * node] >= lengths[sample] ? 2 * node : 2 * node + 1 }
            let row = node - leaves
            if row == rows.count { rows.append([]) }
            rows[row].append(sample)
            rooms[node] -= lengths[sample]
            while node > 1 {
                node /= 2
                rooms[node] = max(rooms[2 * node], rooms[2 * node + 1])
            }
        }
    }
}
