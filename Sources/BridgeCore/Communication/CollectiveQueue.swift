import BridgeSupport
import Synchronization

/// Collectives that run one after the other on a thread of their own, while the caller computes.
///
/// All ranks of a group start the same collectives in the same order, so a queue uses groups that nothing else uses.
public final class CollectiveQueue: Sendable {
    /// A collective that was started.
    public struct Pending: Sendable {
        fileprivate let number: Int
        fileprivate let state: State

        /// Waits for its end, and for that of all started before.
        ///
        /// - Throws: The error of the first collective that failed.
        public func wait() throws { try state.wait(for: number) }
    }

    private let state = State()

    /// A queue without collectives.
    public init() {
        let state = state
        Workers.detach { state.serve() }
    }

    deinit { state.stop() }

    /// Starts a collective; returns at once.
    ///
    /// - Parameter body: The collective. After one that failed no other is run.
    /// - Returns: The collective, to wait for.
    @discardableResult
    public func start(_ body: @escaping @Sendable () throws -> Void) -> Pending {
        Pending(number: state.add(body), state: state)
    }

    /// Waits for all collectives.
    ///
    /// - Throws: The error of the first collective that failed.
    public func wait() throws { try state.wait(for: state.lastNumber) }

    /// What the queue and its thread share; the thread does not retain the queue.
    fileprivate final class State: @unchecked Sendable {
        private let lock = ConditionLock()
        private var waiting: [@Sendable () throws -> Void] = []
        private var started = 0
        private var failure: (any Error)?
        private var isStopped = false
        private let finished = Atomic(0)

        var lastNumber: Int { lock.locked { started } }

        func add(_ body: @escaping @Sendable () throws -> Void) -> Int {
            lock.locked {
                waiting.append(body)
                started += 1
                lock.signalAll()
                return started
            }
        }

        func wait(for number: Int) throws {
            // A forward pass asks for each parameter, nearly always for one that has arrived.
            if finished.load(ordering: .acquiring) < number {
                lock.locked { while finished.load(ordering: .acquiring) < number { lock.wait() } }
            }
            if let failure = lock.locked({ failure }) { throw failure }
        }

        func stop() {
            lock.locked {
                isStopped = true
                lock.signalAll()
            }
        }

        func serve() {
            while let body = next() {
                do { try body() } catch { lock.locked { failure = failure ?? error } }
                lock.locked {
                    finished.wrappingAdd(1, ordering: .acquiringAndReleasing)
                    lock.signalAll()
                }
            }
        }

        /// The next collective, nil at the end; those after one that failed are skipped.
        private func next() -> (@Sendable () throws -> Void)? {
            lock.locked {
                while true {
                    if !waiting.isEmpty {
                        let body = waiting.removeFirst()
                        return failure == nil ? body : {}
                    }
                    if isStopped { return nil }
                    lock.wait()
                }
            }
        }
    }
}
