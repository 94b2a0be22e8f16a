import Synchronization

/// Remembers how words were split.
///
/// One thread uses it at a time.
final class WordCache {
    private struct Entry {
        var hash: UInt64
        var keyStart: Int32
        var keyCount: Int32
        var tokenStart: Int32
        var tokenCount: Int32
    }

    /// Long words rarely come again.
    static let longestWord = 96
    private static let largestCount = 1 << 17

    /// The seed of the hash of a word.
    let seed = ByteHash.newSeed()

    private var keys: [UInt8] = []
    private var entries: [Entry] = []
    private var slots: [Int32] = [Int32](repeating: -1, count: 1 << 10)
    private(set) var ids: [Int32] = []
    private(set) var lengths: [Int32] = []

    /// The tokens of a word as a range of `ids` and `lengths`.
    @inline(__always)
    func tokens(of word: UnsafeBufferPointer<UInt8>, hash: UInt64) -> Range<Int>? {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.hash == hash, Int(entry.keyCount) == word.count, matches(word, at: Int(entry.keyStart)) {
                return Int(entry.tokenStart)..<Int(entry.tokenStart + entry.tokenCount)
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    @inline(__always)
    private func matches(_ word: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        for index in 0..<word.count where keys[start + index] != word[index] { return false }
        return true
    }

    /// Remembers a word that is not there yet.
    func insert(_ word: UnsafeBufferPointer<UInt8>, hash: UInt64, ids newIDs: [Int32], lengths newLengths: [Int32]) {
        if entries.count >= Self.largestCount { removeAll() }
        entries.append(
            Entry(
                hash: hash,
                keyStart: Int32(truncatingIfNeeded: keys.count),
                keyCount: Int32(truncatingIfNeeded: word.count),
                tokenStart: Int32(truncatingIfNeeded: ids.count),
                tokenCount: Int32(truncatingIfNeeded: newIDs.count)
            )
        )
        keys.append(contentsOf: word)
        ids.append(contentsOf: newIDs)
        lengths.append(contentsOf: newLengths)
        if entries.count * 2 > slots.count { grow() } else { place(entries.count - 1) }
    }

    private func place(_ index: Int) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: entries[index].hash) & mask
        while slots[slot] >= 0 { slot = (slot + 1) & mask }
        slots[slot] = Int32(truncatingIfNeeded: index)
    }

    private func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for index in entries.indices { place(index) }
    }

    private func removeAll() {
        keys.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        ids.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        slots = [Int32](repeating: -1, count: slots.count)
    }
}

/// Lends each encoding thread a separate cache, and keeps the caches between calls.
final class WordCachePool: Sendable {
    private let idle = Mutex<[WordCache]>([])

    func withCache<Result>(_ body: (WordCache) throws(TokenizerError) -> Result) throws(TokenizerError) -> Result {
        let lent = idle.withLock { caches in Loan(caches.popLast() ?? WordCache()) }
        defer { idle.withLock { $0.append(lent.cache) } }
        return try body(lent.cache)
    }

    // Only one thread holds a cache between taking it from the pool and putting it back.
    private struct Loan: @unchecked Sendable {
        let cache: WordCache
        init(_ cache: WordCache) { self.cache = cache }
    }
}
