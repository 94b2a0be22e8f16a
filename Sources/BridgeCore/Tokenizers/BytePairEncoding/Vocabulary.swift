/// Maps byte strings to ids and back.
///
/// Byte strings and not Swift strings: those compare equal when they are canonically equivalent, which merges tokens.
struct Vocabulary: Sendable {
    private var storage: [UInt8] = []
    private var starts: [Int32] = []
    private var lengths: [Int32] = []
    private var slots: [Int32]
    private var mask: Int
    private let seed = ByteHash.newSeed()
    /// The number of tokens; ids may have holes.
    private(set) var count = 0

    /// One more than the largest id.
    var upperBound: Int { starts.count }

    init(capacity: Int) {
        let size = Self.tableSize(capacity)
        slots = [Int32](repeating: -1, count: size)
        mask = size - 1
        starts.reserveCapacity(capacity)
        lengths.reserveCapacity(capacity)
    }

    private static func tableSize(_ capacity: Int) -> Int {
        var size = 16
        while size < capacity * 2 { size <<= 1 }
        return size
    }

    /// Adds a token; a token that is there already moves to the new id, as in a map that is filled in order.
    mutating func insert(_ token: some Collection<UInt8>, id: Int) {
        while starts.count <= id {
            starts.append(0)
            lengths.append(-1)
        }
        if lengths[id] < 0 { count += 1 }
        starts[id] = Int32(truncatingIfNeeded: storage.count)
        lengths[id] = Int32(truncatingIfNeeded: token.count)
        storage.append(contentsOf: token)
        if count * 2 > slots.count { grow() }
        place(id)
    }

    private mutating func place(_ id: Int) {
        let slot = storage.withUnsafeBufferPointer { buffer in
            find(UnsafeBufferPointer(rebasing: buffer[range(of: id)])).slot
        }
        slots[slot] = Int32(truncatingIfNeeded: id)
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        mask = slots.count - 1
        for id in starts.indices where lengths[id] >= 0 { place(id) }
    }

    private func range(of id: Int) -> Range<Int> {
        let start = Int(starts[id])
        return start..<(start + Int(lengths[id]))
    }

    /// The id of these bytes, or -1.
    @inline(__always)
    func id(of token: UnsafeBufferPointer<UInt8>) -> Int32 {
        find(token).id
    }

    /// The id of these bytes, or nil.
    func id(of token: [UInt8]) -> Int? {
        let id = token.withUnsafeBufferPointer { find($0).id }
        return id >= 0 ? Int(id) : nil
    }

    private func find(_ token: UnsafeBufferPointer<UInt8>) -> (slot: Int, id: Int32) {
        var slot = Int(truncatingIfNeeded: ByteHash.hash(token, seed: seed)) & mask
        while true {
            let id = slots[slot]
            if id < 0 { return (slot, -1) }
            let start = Int(starts[Int(id)])
            if Int(lengths[Int(id)]) == token.count, matches(token, at: start) { return (slot, id) }
            slot = (slot + 1) & mask
        }
    }

    private func matches(_ token: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
        for index in 0..<token.count where storage[start + index] != token[index] { return false }
        return true
    }

    /// The bytes of an id, or nil where there is no such token.
    subscript(id: Int) -> ArraySlice<UInt8>? {
        guard starts.indices.contains(id), lengths[id] >= 0 else { return nil }
        return storage[range(of: id)]
    }
}

/// A fast hash for short byte strings.
///
/// Each table has its own seed: with a known one, a file or a text could consist of strings that all collide, and a
/// table of a million of them takes hours.
enum ByteHash {
    /// A random seed of the process.
    static func newSeed() -> UInt64 { UInt64.random(in: .min ... .max) }

    @inline(__always)
    static func hash(_ bytes: UnsafeBufferPointer<UInt8>, seed: UInt64) -> UInt64 {
        var state = seed ^ UInt64(truncatingIfNeeded: bytes.count) &* 0x9E37_79B9_7F4A_7C15
        var index = 0
        while index + 8 <= bytes.count {
            let word = UnsafeRawPointer(bytes.baseAddress.unsafelyUnwrapped + index).loadUnaligned(as: UInt64.self)
            state = mix(state ^ word)
            index += 8
        }
        var tail: UInt64 = 0
        while index < bytes.count {
            tail = tail << 8 | UInt64(bytes[index])
            index += 1
        }
        return mix(state ^ tail)
    }

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }
}
