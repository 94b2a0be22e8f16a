import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge train` with two processes: the results of one.
@Suite(.serialized) struct ParallelTrainTests {
    private let ranks: ParallelBench
    private var bench: TrainBench { ranks.bench }

    init() throws { ranks = try ParallelBench() }

    private static let layouts = ParallelBench.layouts.map { [$0, "--nproc-per-node", "2"] }

    /// Losses and gradient norms of a log, by their steps.
    private func losses(_ name: String) throws -> [[Double]] {
        try bench.log(name).map { row in
            try ["iteration", "lm_loss", "grad_norm", "trained_tokens"].map { try #require(row[$0]?.double) }
        }
    }

    private func expectSameLosses(_ name: String, _ other: String, _ comment: Comment) throws {
        let (mine, theirs) = (try losses(name), try losses(other))
        try #require(mine.count == theirs.count, comment)
        for (one, two) in zip(mine, theirs) {
            for (a, b) in zip(one, two) { #expect(abs(a - b) <= 1e-5 * max(1, abs(b)), "\(comment): \(one), \(two)") }
        }
    }

    /// The weights of a checkpoint as transformers reads them.
    private func exported(_ name: String) throws -> [String: StoredNumbers] {
        let path = bench.scratch.path("\(name)-hf")
        let outcome = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            bench.scratch.path(name),
            "--hf-path",
            path
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try StoredNumbers.all(in: path)
    }

    @Test func everyLayoutHasTheLossesAndTheWeightsOfOneRank() throws {
        let one = try BridgeProcess(ranks.arguments("one")).wait()
        try #require(one.status == 0, "\(one.errors)")
        let weights = try exported("one")
        for (number, layout) in Self.layouts.enumerated() {
            let outcome = try BridgeProcess(ranks.arguments("two-\(number)") + layout).wait()
            try #require(outcome.status == 0, "\(layout): \(outcome.errors)")
            try expectSameLosses("two-\(number)", "one", "\(layout)")
            let other = try exported("two-\(number)")
            #expect(Set(other.keys) == Set(weights.keys))
            for (name, values) in weights {
                let found = try #require(other[name])
                let distance = zip(values.values, found.values).map { abs($0 - $1) }.max() ?? 0
                // Adam divides by the size of a gradient, so rounding errors of small ones grow.
                #expect(values.shape == found.shape && distance < 2e-4, "\(layout) \(name): \(distance)")
            }
        }
    }

    /// The run continues under another layout and with another number of ranks, twice.
    @Test func aRunResumesUnderAnotherLayoutAndNumberOfRanks() throws {
        let one = try BridgeProcess(ranks.arguments("whole", "train.train_iters=8")).wait()
        try #require(one.status == 0, "\(one.errors)")
        let parts = [Self.layouts[0], [], Self.layouts[1], Self.layouts[3]]
        for (number, layout) in parts.enumerated() {
            let outcome = try BridgeProcess(
                ranks.arguments("elastic", "train.train_iters=8", "train.exit_interval=2") + layout
            ).wait()
            try #require(outcome.status == 0, "part \(number): \(outcome.errors)")
            #expect(bench.iterations("elastic").last == "iter_000000\(2 * number + 2)")
        }
        try expectSameLosses("elastic", "whole", "elastic")
        #expect(try losses("elastic").map(\.[0]) == (1...8).map(Double.init))
    }
}
