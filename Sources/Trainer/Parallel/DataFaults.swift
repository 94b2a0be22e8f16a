import BridgeCore
import Communication
import TensorRuntime

/// The first error of this rank's data in a step or a validation, which the ranks tell each other at a call that all of them make.
///
/// A rank whose data cannot be used takes part without its remaining micro-batches, because the others wait for it: the ranks of
/// one copy of the model read the same rows, so they skip the same micro-batches. No rank applies the step, and all save the
/// steps before it.
final class DataFaults {
    private let world: any ProcessGroup
    private var first: BridgeError?

    /// The errors of one step.
    init(_ world: any ProcessGroup) { self.world = world }

    /// 1 on a rank with an error, to be summed over all ranks.
    var count: Double { first == nil ? 0 : 1 }

    /// What `body` reads; nil after an error.
    @discardableResult func reading<Result>(_ body: () throws -> Result) throws -> Result? {
        guard first == nil else { return nil }
        do { return try body() } catch let error as BridgeError where !Self.isOfOtherRank(error) {
            first = error
            return nil
        }
    }

    /// Ends the step on all ranks, if any has an error.
    ///
    /// - Parameter count: The sum of ``count`` over all ranks.
    /// - Throws: ``Shared`` with this rank's own error, or one that another rank reports.
    func check(_ count: Double) throws {
        guard count > 0 else { return }
        do {
            _ = try world.agree {
                if let first { throw first }
                return []
            }
        } catch {
            throw (error as? BridgeError)?.code == .rankFailed ? error : Shared(cause: error)
        }
    }

    /// Runs `body`; where another rank does not take part, an error of this rank's data is the reason.
    ///
    /// The ranks of a copy wait for each other if only one of them cannot read its data, as from a disk that fails.
    func explaining<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as BridgeError where error.code == .rankFailed {
            throw first ?? error
        }
    }

    private static func isOfOtherRank(_ error: BridgeError) -> Bool {
        [.rankFailed, .reportedByOtherRank].contains(error.code)
    }

    /// An error that all ranks know of, at a point where they can still save together.
    struct Shared: Error {
        let cause: any Error
    }
}
