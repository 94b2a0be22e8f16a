import BridgeCore
import Glibc
import Synchronization

/// Measures how fast memory is read in order.
struct ReadSweep {
    /// The bytes that are read, more than the caches hold.
    let byteCount: Int
    /// The number of threads that read.
    let threadCount: Int
    /// The time after which no further pass starts.
    var limit: Duration = .milliseconds(400)

    private struct Memory: @unchecked Sendable {
        let start: UnsafeMutableRawPointer
    }

    /// The bytes per second of the fastest pass; nil when there is no memory for it.
    func run() -> Double? {
        let part = byteCount / threadCount
        guard part > 0, let start = malloc(part * threadCount) else { return nil }
        defer { free(start) }
        let memory = Memory(start: start)
        // Pages that nothing was written to are all one.
        pass { memset(memory.start + $0 * part, 1, part) }
        let end = ContinuousClock.now + limit
        var best = 0.0
        let found = Atomic(0)
        repeat {
            let begin = ContinuousClock.now
            // Looking for a byte that is not there reads all of them, in the C library's vector code.
            pass { index in
                if memchr(memory.start + index * part, 2, part) != nil { found.add(1, ordering: .relaxed) }
            }
            best = max(best, Double(part * threadCount) / (ContinuousClock.now - begin).seconds)
        } while ContinuousClock.now < end
        return found.load(ordering: .relaxed) == 0 ? best : nil
    }

    /// Runs a closure on each thread.
    private func pass(_ body: @escaping @Sendable (Int) -> Void) {
        let tasks = (1..<max(1, threadCount)).map { index in BackgroundTask { body(index) } }
        body(0)
        for task in tasks { try? task.wait() }
    }
}
