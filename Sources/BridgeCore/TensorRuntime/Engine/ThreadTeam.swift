import CTensorKernels
import Glibc
import Synchronization

/// The helpers of a ``ThreadPool``, which wait for a job, join it, and wait again.
///
/// The threads retain the team and not the pool, whose deinit stops them.
final class ThreadTeam: @unchecked Sendable {
    private struct Job {
        var body: UnsafeRawPointer
        var pieces: Int
    }

    private var job: Job?
    private var threads: [pthread_t] = []
    /// The number of the job, whether it may still be joined, and how many helpers work on it, from high bits to low.
    ///
    /// All three in one word: a helper that starts after the caller has closed the job does not join it, so the caller
    /// does not wait for a thread that has not started.
    private let state = Atomic<UInt64>(0)
    private let nextPiece = Atomic<Int>(0)
    private let isBusy = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let sleeping = Atomic<Int>(0)
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>

    private static let isOpen: UInt64 = 1 << 16
    private static let helpers: UInt64 = isOpen - 1
    private static let nextJob: UInt64 = isOpen << 1
    /// The number of checks of an idle thread before it sleeps: some 50 microseconds.
    private static let retryPolicy = 2000

    init(helperCount: Int) {
        lock = .allocate(capacity: 1)
        wakeUp = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        pthread_cond_init(wakeUp, nil)
        for _ in 0..<helperCount {
            var thread = pthread_t()
            let team = Unmanaged.passRetained(self)
            let status = pthread_create(
                &thread,
                nil,
                { team in
                    if let team { Unmanaged<ThreadTeam>.fromOpaque(team).takeRetainedValue().serve() }
                    return nil
                },
                team.toOpaque()
            )
            if status == 0 { threads.append(thread) } else { team.release() }
        }
    }

    deinit {
        pthread_mutex_destroy(lock)
        pthread_cond_destroy(wakeUp)
        lock.deallocate()
        wakeUp.deallocate()
    }

    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wake()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Runs a job with all helpers that come in time; false when there are none or they have another.
    func run(_ pieces: Int, _ body: (Int) -> Void) -> Bool {
        guard !threads.isEmpty, !isBusy.exchange(true, ordering: .acquiring) else { return false }
        withoutActuallyEscaping(body) { body in
            withUnsafePointer(to: body) { pointer in
                job = Job(body: UnsafeRawPointer(pointer), pieces: pieces)
                nextPiece.store(0, ordering: .relaxed)
                let last = state.load(ordering: .relaxed) & ~(Self.isOpen | Self.helpers)
                state.store(last + Self.nextJob + Self.isOpen, ordering: .sequentiallyConsistent)
                if sleeping.load(ordering: .sequentiallyConsistent) > 0 { wake() }
                takePieces(pieces, body)
                state.bitwiseAnd(~Self.isOpen, ordering: .acquiringAndReleasing)
                var looks = 0
                while state.load(ordering: .acquiring) & Self.helpers != 0 { pause(&looks) { _ = sched_yield() } }
            }
        }
        isBusy.store(false, ordering: .releasing)
        return true
    }

    private func takePieces(_ pieces: Int, _ body: (Int) -> Void) {
        while true {
            let piece = nextPiece.add(1, ordering: .relaxed).oldValue
            guard piece < pieces else { return }
            body(piece)
        }
    }

    private func serve() {
        var seen: UInt64 = 0
        while true {
            var looks = 0
            while number(state.load(ordering: .acquiring)) == seen, !isStopping.load(ordering: .acquiring) {
                pause(&looks) { sleep(until: seen) }
            }
            if isStopping.load(ordering: .acquiring) { return }
            var current = state.load(ordering: .acquiring)
            seen = number(current)
            while current & Self.isOpen != 0, number(current) == seen {
                let joined = state.compareExchange(
                    expected: current,
                    desired: current + 1,
                    ordering: .acquiringAndReleasing
                )
                guard joined.exchanged else {
                    current = joined.original
                    continue
                }
                if let job {
                    takePieces(job.pieces, job.body.assumingMemoryBound(to: ((Int) -> Void).self).pointee)
                }
                state.subtract(1, ordering: .acquiringAndReleasing)
                break
            }
        }
    }

    private func number(_ state: UInt64) -> UInt64 { state / Self.nextJob }

    private func pause(_ looks: inout Int, _ tired: () -> Void) {
        looks += 1
        if looks < Self.retryPolicy { ctk_pause() } else { tired() }
    }

    private func wake() {
        pthread_mutex_lock(lock)
        pthread_cond_broadcast(wakeUp)
        pthread_mutex_unlock(lock)
    }

    private func sleep(until seen: UInt64) {
        pthread_mutex_lock(lock)
        sleeping.add(1, ordering: .sequentiallyConsistent)
        while number(state.load(ordering: .sequentiallyConsistent)) == seen,
            !isStopping.load(ordering: .sequentiallyConsistent)
        {
            pthread_cond_wait(wakeUp, lock)
        }
        sleeping.subtract(1, ordering: .sequentiallyConsistent)
        pthread_mutex_unlock(lock)
    }
}
