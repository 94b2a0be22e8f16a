import BridgeSupport
public import TensorRuntime

extension ProcessGroup {
    /// Runs `body` on every rank and gives all of them all results; an error of one rank is an error of all.
    ///
    /// - Parameter body: What this rank does and tells the others.
    /// - Returns: What the ranks tell, in their order.
    /// - Throws: This rank's own error, or one that names the rank that failed.
    public func agree(_ body: () throws -> [UInt8]) throws -> [[UInt8]] {
        guard size > 1 else { return [try body()] }
        var failure: (any Error)?
        var own: [UInt8] = [0]
        do { own += try body() } catch {
            failure = error
            own = [1] + Array(((error as? BridgeError)?.message ?? "\(error)").utf8)
        }
        let all = try allGather(own)
        if let failure { throw failure }
        if let rank = all.firstIndex(where: { $0.first == 1 }) {
            throw BridgeError(
                .reportedByOtherRank,
                "rank \(rank): \(String(decoding: all[rank].dropFirst(), as: UTF8.self))"
            )
        }
        return all.map { Array($0.dropFirst()) }
    }
}

/// Rounds of agreement in a row: after one that failed there are no more.
public final class AgreementRounds: @unchecked Sendable {
    private let group: any ProcessGroup
    /// Whether a round has failed, so that all ranks know of it.
    public private(set) var isOver = false

    /// Rounds of a group.
    public init(_ group: any ProcessGroup) { self.group = group }

    /// The next round, see ``TensorRuntime/ProcessGroup/agree(_:)``.
    public func next(_ body: () throws -> [UInt8] = { [] }) throws -> [[UInt8]] {
        do { return try group.agree(body) } catch {
            isOver = true
            throw error
        }
    }

    /// Runs `body`, which calls ``next(_:)``, and tells the other ranks of an error that they do not know yet.
    public func telling<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            if !isOver { _ = try? next { throw error } }
            throw error
        }
    }
}
