import Glibc
import Synchronization

/// Memory kept for the next tensor of about the same size.
///
/// Fresh pages are slow to get, on virtual machines above all, and the tensors of one step have the sizes of the last.
final class MemoryPool: Sendable {
    private struct State {
        var free: [Int: [UInt]] = [:]
        var kept = 0
    }

    private let state = Mutex(State())
    /// The most bytes that are kept unused.
    private let limit: Int

    private static let hugePage = 2 << 20

    init(limit: Int) { self.limit = limit }

    deinit {
        state.withLock { state in
            for address in state.free.values.joined() { Glibc.free(UnsafeMutableRawPointer(bitPattern: address)) }
        }
    }

    /// The block size of a request: at most an eighth above it.
    private static func blockSize(_ byteCount: Int) -> Int {
        let least = max(byteCount, 256)
        let step = max(64, (1 << (Int.bitWidth - 1 - least.leadingZeroBitCount)) / 8)
        return (least + step - 1) / step * step
    }

    func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let size = Self.blockSize(byteCount)
        let address = state.withLock { state -> UInt? in
            guard let address = state.free[size]?.popLast() else { return nil }
            state.kept -= size
            return address
        }
        if let pointer = address.flatMap({ UnsafeMutableRawPointer(bitPattern: $0) }) { return pointer }
        let isLarge = size >= 2 * Self.hugePage
        guard let pointer = aligned_alloc(isLarge ? Self.hugePage : 64, size) else {
            Tensor.fail("MemoryPool", "no memory for \(byteCount) bytes")
        }
        // Keys of one head are far apart, and small pages would cause many TLB misses.
        if isLarge { madvise(pointer, size, Int32(MADV_HUGEPAGE)) }
        return pointer
    }

    func giveBack(_ pointer: UnsafeMutableRawPointer, _ byteCount: Int) {
        let size = Self.blockSize(byteCount)
        let isKept = state.withLock { state in
            guard state.kept + size <= limit else { return false }
            state.free[size, default: []].append(UInt(bitPattern: pointer))
            state.kept += size
            return true
        }
        if !isKept { free(pointer) }
    }
}
