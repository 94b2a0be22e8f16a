import CTensorKernels

/// The partition of attention: blocks of the rows of one key head's query heads and, if there are few rows, parts of
/// the keys, which are merged in the end.
///
/// How many parts there are depends on shapes alone, and so do the results.
struct AttentionBlocks {
    struct Block {
        var sample: Int
        var groups: Range<Int>
        var rows: Range<Int>
    }

    /// The most rows of a block.
    let height: Int
    /// Into how many parts the keys are cut.
    let parts: Int
    /// The number of blocks.
    let count: Int
    /// The number of partial results.
    let partialCount: Int
    private let groups, groupsTogether, chunks, rows, blocks, keyCount, partSize: Int

    init(_ query: Tensor, _ key: Tensor, threadCount: Int) {
        groups = key.shape[2]
        rows = query.shape[1] * query.shape[2] / groups
        keyCount = key.shape[1]
        let samples = query.shape[0]
        let (few, tile) = (Int(CTK_FEW_ROWS), Int(CTK_ATTENTION_TILE))
        // A part has at least this many keys, and more parts than this are of no use.
        let (leastKeys, mostParts) = (512, 64)
        let wanted = rows <= 32 ? max(1, min(mostParts, keyCount / leastKeys)) : 1
        partSize = max((keyCount + wanted * tile - 1) / (wanted * tile) * tile, 1)
        parts = max(1, (keyCount + partSize - 1) / partSize)
        groupsTogether = parts > 1 && rows <= few ? min(groups, Int(CTK_GROUPS_TOGETHER)) : 1
        chunks = (groups + groupsTogether - 1) / groupsTogether
        // Small blocks leave no thread idle, large ones read keys and values less often.
        var height = rows <= few ? rows : Int(CTK_ATTENTION_ROWS)
        while height > 32, samples * groups * ((rows + height - 1) / height) < 2 * threadCount { height /= 2 }
        self.height = height
        blocks = (rows + height - 1) / height
        count = samples * chunks * blocks
        partialCount = samples * groups * blocks * parts
    }

    /// The blocks that see the most keys, which are the last, come first.
    subscript(number: Int) -> Block {
        let positions = count / blocks
        let (block, position) = (blocks - 1 - number / positions, number % positions)
        let first = position % chunks * groupsTogether
        return Block(
            sample: position / chunks,
            groups: first..<min(first + groupsTogether, groups),
            rows: block * height..<min((block + 1) * height, rows)
        )
    }

    func keys(ofPart part: Int) -> Range<Int> { part * partSize..<min((part + 1) * partSize, keyCount) }

    /// The index of the partial result of a block's first group; those of the next groups are `parts` apart.
    func place(of block: Block, part: Int) -> Int {
        ((block.sample * blocks + block.rows.lowerBound / height) * groups + block.groups.lowerBound) * parts + part
    }
}
