/// Blocks of files in memory, shared by threads that read pieces of them.
///
/// A block is read once by the first thread that requests it, and the others wait for that; a new block replaces the one that
/// was used least recently.
package final class BlockCache: @unchecked Sendable {
    /// A block of a file.
    struct Key: Hashable {
        /// The file.
        var file: ObjectIdentifier
        /// The block's number.
        var index: Int
    }

    private final class Slot {
        var key: Key?
        var isLoading = false
        var users = 0
        var lastUse = 0
        var buffer = AlignedBuffer(byteCount: BlockChecksum.blockByteCount)
    }

    private let limit: Int
    private var slots: [Slot] = []
    private var slotsByKey: [Key: Slot] = [:]
    private var clock = 0
    private let lock = ConditionLock()

    /// A cache without blocks.
    ///
    /// - Parameter limit: The most blocks at a time.
    package init(limit: Int) {
        self.limit = max(1, limit)
    }

    /// Calls `body` with the memory of a block, which does not change during the call.
    ///
    /// - Parameters:
    ///   - key: The block.
    ///   - load: Fills the memory, called without the lock when the block is not cached.
    ///   - body: Reads the memory.
    /// - Throws: What `load` throws; the block is then not cached, and the next request loads it again.
    func withBlock(
        _ key: Key,
        load: (UnsafeMutableRawBufferPointer) throws -> Void,
        body: (UnsafeRawBufferPointer) -> Void
    ) throws {
        let slot = try taken(key, load)
        body(UnsafeRawBufferPointer(start: slot.buffer.bytes, count: slot.buffer.byteCount))
        lock.locked {
            slot.users -= 1
            if slot.users == 0 { lock.signalAll() }
        }
    }

    /// The slot with the block, counted as in use.
    private func taken(_ key: Key, _ load: (UnsafeMutableRawBufferPointer) throws -> Void) throws -> Slot {
        let (slot, isMine) = lock.locked { () -> (Slot, Bool) in
            while true {
                if let slot = slotsByKey[key] {
                    if !slot.isLoading {
                        use(slot)
                        return (slot, false)
                    }
                } else if let slot = free() {
                    if let old = slot.key { slotsByKey[old] = nil }
                    (slot.key, slot.isLoading) = (key, true)
                    slotsByKey[key] = slot
                    use(slot)
                    return (slot, true)
                }
                lock.wait()
            }
        }
        guard isMine else { return slot }
        do {
            try load(UnsafeMutableRawBufferPointer(start: slot.buffer.bytes, count: slot.buffer.byteCount))
        } catch {
            lock.locked {
                slotsByKey[key] = nil
                (slot.key, slot.isLoading, slot.users) = (nil, false, 0)
                lock.signalAll()
            }
            throw error
        }
        lock.locked {
            slot.isLoading = false
            lock.signalAll()
        }
        return slot
    }

    /// The least recently used free slot; a new one if the limit allows it.
    ///
    /// Twice as many blocks as there are threads that use them are kept: the next thread begins with the block that a thread has
    /// read to its end.
    private func free() -> Slot? {
        let busy = slots.count { $0.users > 0 }
        if slots.count < min(limit, 2 * (busy + 1)) {
            let slot = Slot()
            slots.append(slot)
            return slot
        }
        return slots.filter { $0.users == 0 }.min { $0.lastUse < $1.lastUse }
    }

    private func use(_ slot: Slot) {
        clock += 1
        slot.users += 1
        slot.lastUse = clock
    }
}
