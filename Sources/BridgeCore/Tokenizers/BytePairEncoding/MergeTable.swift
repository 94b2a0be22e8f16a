/// The merges of a model: which two neighbours join, in which order, into what.
struct MergeTable: Sendable {
    /// The result of merging a pair.
    struct Merge: Sendable {
        /// Lower goes first.
        var rank: UInt32
        var result: Int32
    }

    private var keys: [UInt64]
    private var values: [UInt64]
    private var mask: Int
    private let seed = ByteHash.newSeed()
    private(set) var count = 0

    private static let empty = UInt64.max

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        keys = [UInt64](repeating: Self.empty, count: size)
        values = [UInt64](repeating: 0, count: size)
        mask = size - 1
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Adds a merge; the last one of a pair counts.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, result: Int32) {
        if (count + 1) * 2 > keys.count { grow() }
        let key = Self.key(left, right)
        let slot = slot(of: key)
        if keys[slot] == Self.empty { count += 1 }
        keys[slot] = key
        values[slot] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result))
    }

    private mutating func grow() {
        let old = zip(keys, values).filter { $0.0 != Self.empty }
        keys = [UInt64](repeating: Self.empty, count: keys.count * 2)
        values = [UInt64](repeating: 0, count: keys.count)
        mask = keys.count - 1
        for (key, value) in old {
            let slot = slot(of: key)
            keys[slot] = key
            values[slot] = value
        }
    }

    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: ByteHash.mix(key ^ seed)) & mask
        while keys[slot] != key && keys[slot] != Self.empty { slot = (slot + 1) & mask }
        return slot
    }

    /// The merges, lowest rank first; those of one rank in the order of their tokens.
    var ordered: [(left: Int32, right: Int32, result: Int32)] {
        let used = zip(keys, values).filter { $0.0 != Self.empty }.map { (rank: $1 >> 32, key: $0, value: $1) }
        return used.sorted { ($0.rank, $0.key) < ($1.rank, $1.key) }.map { _, key, value in
            (Int32(truncatingIfNeeded: key >> 32), Int32(truncatingIfNeeded: key), Int32(truncatingIfNeeded: value))
        }
    }

    /// The merge of two neighbours as rank in the upper half and result in the lower, or `UInt64.max` for none.
    @inline(__always)
    func packed(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = Self.key(left, right)
        let slot = slot(of: key)
        return keys[slot] == key ? values[slot] : UInt64.max
    }

    /// The merge of two neighbours.
    func merge(_ left: Int32, _ right: Int32) -> Merge? {
        let value = packed(left, right)
        guard value != UInt64.max else { return nil }
        return Merge(rank: UInt32(value >> 32), result: Int32(truncatingIfNeeded: value))
    }
}
