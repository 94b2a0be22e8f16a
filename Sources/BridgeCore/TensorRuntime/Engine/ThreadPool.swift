/// The threads that tensor operations run on, the caller's among them.
///
/// Work is divided into more pieces than threads, and an idle thread takes the next, so that a busy core delays one
/// piece and not the whole. Idle threads spin for a moment before they sleep: the operations of a model follow one
/// another within microseconds.
public final class ThreadPool: Sendable {
    /// The number of threads.
    public let threadCount: Int
    private let team: ThreadTeam

    /// A pool.
    ///
    /// - Parameter threadCount: How many threads work; at least 1, the caller's.
    public init(threadCount: Int) {
        self.threadCount = max(threadCount, 1)
        team = ThreadTeam(helperCount: self.threadCount - 1)
    }

    deinit { team.stop() }

    /// Calls `body` once for each of `pieces` indices, on all threads, and returns when all are done.
    ///
    /// A call from inside a body, or during a call of another thread, runs on the calling thread alone.
    public func run(_ pieces: Int, _ body: (Int) -> Void) {
        guard pieces > 1, team.run(pieces, body) else {
            for piece in 0..<max(pieces, 0) { body(piece) }
            return
        }
    }

    /// Calls `body` with ranges that together are `0..<count`, none shorter than `grain` but the last.
    ///
    /// - Parameters:
    ///   - count: How many items there are.
    ///   - grain: The fewest items of a piece.
    ///   - multiple: What the ends of ranges are multiples of.
    ///   - body: What to do with a range.
    public func split(_ count: Int, grain: Int, multiple: Int = 1, _ body: (Range<Int>) -> Void) {
        split(count, grain: grain, multiple: multiple, piecesPerThread: 4, body)
    }

    private func split(_ count: Int, grain: Int, multiple: Int, piecesPerThread: Int, _ body: (Range<Int>) -> Void) {
        guard count > 0 else { return }
        let most = threadCount == 1 ? 1 : threadCount * piecesPerThread
        let even = (count + most - 1) / most
        let step = (max(grain, even, 1) + multiple - 1) / multiple * multiple
        run((count + step - 1) / step) { piece in body(piece * step..<min((piece + 1) * step, count)) }
    }

    /// Divides several lists as one, so that the threads meet once, and calls `body` with a list and a range of its items.
    ///
    /// - Parameters:
    ///   - counts: How many items each list has.
    ///   - multiple: What the ends of ranges are multiples of, but the end of a list.
    ///   - body: What to do with a range of a list.
    public func split(_ counts: [Int], multiple: Int, _ body: (Int, Range<Int>) -> Void) {
        let blocks = counts.map { ($0 + multiple - 1) / multiple }
        // Small pieces, so that no thread waits long for the last one.
        split(blocks.reduce(0, +), grain: 1, multiple: 1, piecesPerThread: 16) { range in
            var first = 0
            for (list, count) in blocks.enumerated() {
                let own = range.clamped(to: first..<first + count)
                if !own.isEmpty {
                    body(
                        list,
                        (own.lowerBound - first) * multiple..<min((own.upperBound - first) * multiple, counts[list])
                    )
                }
                first += count
            }
        }
    }
}
