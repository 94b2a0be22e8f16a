/// The symbols of one word while they merge.
///
/// Reused from word to word, so that no word allocates.
struct SymbolList {
    var ids: [Int32] = []
    var lengths: [Int32] = []
    private var merges: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var heap: [UInt64] = []

    /// Up to this length a scan for the lowest rank is faster than a heap.
    private static let longestScan = 40

    mutating func removeAll() {
        ids.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func append(_ id: Int32, length: Int) {
        ids.append(id)
        lengths.append(Int32(truncatingIfNeeded: length))
    }

    /// Joins neighbours, the lowest rank first and the leftmost among equals, until nothing joins.
    mutating func mergeAll(_ table: MergeTable) {
        if ids.count < 2 { return }
        if ids.count <= Self.longestScan { mergeByScan(table) } else { mergeByHeap(table) }
    }

    private mutating func mergeByScan(_ table: MergeTable) {
        var count = ids.count
        merges.removeAll(keepingCapacity: true)
        for index in 0..<(count - 1) { merges.append(table.packed(ids[index], ids[index + 1])) }
        while count > 1 {
            var best = 0
            var bestRank = merges[0] >> 32
            for index in 1..<max(1, count - 1) where merges[index] >> 32 < bestRank {
                best = index
                bestRank = merges[index] >> 32
            }
            if merges[best] == UInt64.max { break }
            ids[best] = Int32(truncatingIfNeeded: merges[best])
            lengths[best] += lengths[best + 1]
            ids.remove(at: best + 1)
            lengths.remove(at: best + 1)
            merges.remove(at: best)
            count -= 1
            if best < count - 1 { merges[best] = table.packed(ids[best], ids[best + 1]) }
            if best > 0 { merges[best - 1] = table.packed(ids[best - 1], ids[best]) }
        }
    }

    private mutating func mergeByHeap(_ table: MergeTable) {
        let count = ids.count
        next = (0..<count).map { $0 + 1 < count ? Int32($0 + 1) : -1 }
        previous = (0..<count).map { Int32($0 - 1) }
        heap.removeAll(keepingCapacity: true)
        for index in 0..<(count - 1) {
            let merge = table.packed(ids[index], ids[index + 1])
            if merge != UInt64.max { heap.append(Self.entry(merge, index)) }
        }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
        while let top = heap.first {
            let position = Int(top & 0xFFFF_FFFF)
            removeTop()
            let right = Int(next[position])
            // A merged-away symbol has no length; a stale entry no longer has its rank.
            guard lengths[position] > 0, right >= 0 else { continue }
            let merge = table.packed(ids[position], ids[right])
            guard merge >> 32 == top >> 32, merge != UInt64.max else { continue }
            ids[position] = Int32(truncatingIfNeeded: merge)
            lengths[position] += lengths[right]
            lengths[right] = 0
            next[position] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(position) }
            push(table, position, Int(next[position]))
            push(table, Int(previous[position]), position)
        }
        compact()
    }

    private static func entry(_ merge: UInt64, _ position: Int) -> UInt64 {
        (merge >> 32) << 32 | UInt64(position)
    }

    private mutating func push(_ table: MergeTable, _ left: Int, _ right: Int) {
        guard left >= 0, right >= 0 else { return }
        let merge = table.packed(ids[left], ids[right])
        guard merge != UInt64.max else { return }
        heap.append(Self.entry(merge, left))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent] <= heap[child] { break }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func removeTop() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        siftDown(0)
    }

    private mutating func siftDown(_ start: Int) {
        let count = heap.count
        var parent = start
        let value = heap[parent]
        while true {
            var child = 2 * parent + 1
            guard child < count else { break }
            if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
            if value <= heap[child] { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = value
    }

    private mutating func compact() {
        var kept = 0
        var index = 0
        while index >= 0 {
            ids[kept] = ids[index]
            lengths[kept] = lengths[index]
            kept += 1
            index = Int(next[index])
        }
        ids.removeLast(ids.count - kept)
        lengths.removeLast(lengths.count - kept)
    }
}
