import BridgeCore
import Synchronization
import TensorRuntime

/// The order of the samples of a source in each epoch.
///
/// The row at a position depends on seed and position only, so a run resumes with the number of
/// consumed samples.
public final class EpochSampler: Sendable {
    /// The number of samples in an epoch.
    public let count: Int
    /// Whether each epoch is shuffled; otherwise the order is that of the file.
    public let shuffles: Bool
    /// The seed of shuffling.
    public let seed: UInt64
    private let newest = Mutex<[(epoch: Int, rows: [Int])]>([])

    private static let stream: UInt64 = 0x6f72_6465_0000_0000

    /// A sampler.
    ///
    /// - Throws: `BridgeError` when there are no samples.
    public init(count: Int, shuffles: Bool, seed: UInt64) throws {
        guard count > 0 else { throw BridgeError(.badArgument, "the data set has no samples, expected at least one") }
        self.count = count
        self.shuffles = shuffles
        self.seed = seed
    }

    /// The row of the sample at a position, where position 0 is the first sample of the run.
    public func row(at position: Int) -> Int {
        let position = max(0, position)
        guard shuffles else { return position % count }
        return rows(ofEpoch: position / count)[position % count]
    }

    /// The rows of the samples from a position.
    public func rows(from consumed: Int, count: Int) -> [Int] { (0..<max(0, count)).map { row(at: consumed &+ $0) } }

    /// At most two epochs are in use, when a batch crosses the end of one.
    private func rows(ofEpoch epoch: Int) -> [Int] {
        newest.withLock { known in
            if let found = known.first(where: { $0.epoch == epoch }) { return found.rows }
            let rows = permutation(epoch)
            known = Array(known.suffix(1)) + [(epoch, rows)]
            return rows
        }
    }

    /// A permutation by Fisher and Yates, with 48 random bits for each choice.
    private func permutation(_ epoch: Int) -> [Int] {
        var rows = Array(0..<count)
        let numbers = RandomStream(seed: seed, stream: Self.stream &+ UInt64(epoch)).uniform(0..<2 * count)
        for last in stride(from: count - 1, to: 0, by: -1) {
            let bits = UInt64(numbers[2 * last] * 0x1p24) << 24 | UInt64(numbers[2 * last + 1] * 0x1p24)
            // The product's high part: bits / 2^48 of the choices.
            rows.swapAt(last, Int(UInt64(last + 1).multipliedFullWidth(by: bits << 16).high))
        }
        return rows
    }
}
