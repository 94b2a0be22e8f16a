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

    /// The numbers of all and of the trained parameters in the report of a run.
    private func counts(_ name: String) throws -> [String] {
        let page = try String(contentsOf: bench.scratch.url("\(name)-log/report.html"), encoding: .utf8)
        return page.matches(of: #/<th>(parameters|trained)</th><td>(\d+)</td>/#).map { "\($0.1) \($0.2)" }
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

    /// The command is not a rank of the run, whose variables would have it look for the others.
    @Test func theCommandAfterACheckpointMayUseModels() throws {
        let (answer, program) = (ranks.scratch.path("answer"), BridgeProcess.executable.path)
        let command = "\(program) generate --megatron-path $BRIDGE_CHECKPOINT --prompt a --max-new-tokens 2 > \(answer)"
        let settings = ["train.train_iters=2", "checkpoint.after_save=\(command)", "--nproc-per-node", "2"]
        let outcome = try BridgeProcess(ranks.arguments("run") + settings).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try !String(contentsOfFile: answer, encoding: .utf8).isEmpty)
    }

    @Test func everyLayoutHasTheLossesAndTheWeightsOfOneRank() throws {
        let one = try BridgeProcess(ranks.arguments("one")).wait()
        try #require(one.status == 0, "\(one.errors)")
        let weights = try exported("one")
        for (number, layout) in Self.layouts.enumerated() {
            let outcome = try BridgeProcess(ranks.arguments("two-\(number)") + layout).wait()
            try #require(outcome.status == 0, "\(layout): \(outcome.errors)")
            try expectSameLosses("two-\(number)", "one", "\(layout)")
            #expect(try counts("two-\(number)") == counts("one") && counts("one").count == 2, "\(layout)")
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

    @Test func aRunWithOverlapHasTheBitsOfOneWithoutAndATraceOfBothRanks() throws {
        let ranks = ["train.micro_batch_size=2", "--nproc-per-node", "2"]
        let overlap = ["ddp.overlap_grad_reduce=true", "ddp.overlap_param_gather=true", "ddp.bucket_size=1000"]
        let trace = bench.scratch.path("trace.json")
        let plain = try BridgeProcess(self.ranks.arguments("plain") + ranks).wait()
        try #require(plain.status == 0, "\(plain.errors)")
        let outcome = try BridgeProcess(
            self.ranks.arguments("overlapped", "ddp.check_for_nan_in_grad=true") + overlap + ranks
                + ["--chrome-trace", trace]
        ).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains(trace), "\(outcome.errors)")
        #expect(try losses("overlapped") == losses("plain"))
        let (mine, theirs) = (try exported("overlapped"), try exported("plain"))
        for (name, values) in theirs { #expect(mine[name]?.values == values.values, "\(name)") }
        let events = try #require(
            try JSON(parsing: Array(Data(contentsOf: URL(fileURLWithPath: trace))))["traceEvents"]?.array
        )
        for rank in 0..<2 {
            let own = events.filter { $0["pid"]?.integer == rank && $0["ph"] == "X" }
            #expect(own.count { $0["name"] == "step" } == 6 && own.contains { $0["name"] == "save" })
            #expect(own.contains { $0["name"] == "start gradient sum" })
        }
    }

    @Test func aTraceThatCannotBeWrittenIsRefusedBeforeTheRun() throws {
        let nowhere = ["--chrome-trace", bench.scratch.path("missing/trace.json")]
        for count in [[], ["--nproc-per-node", "2"]] {
            let outcome = try BridgeProcess(ranks.arguments("run") + nowhere + count).wait()
            expect(outcome, failsWith: 1, mentioning: "--chrome-trace", "directory that exists")
        }
        let described = try BridgeProcess(ranks.arguments("run") + nowhere + ["--dry-run"]).wait()
        expect(described, failsWith: 64, mentioning: "--chrome-trace has no effect with --dry-run")
        #expect(bench.iterations("run").isEmpty)
    }

    /// The run continues under another layout and with another number of ranks, twice.
    @Test(arguments: ["native", "torch_dist"])
    func aRunResumesUnderAnotherLayoutAndNumberOfRanks(_ container: String) throws {
        let one = try BridgeProcess(ranks.arguments("whole", "train.train_iters=8")).wait()
        try #require(one.status == 0, "\(one.errors)")
        let parts = [Self.layouts[0], [], Self.layouts[1], Self.layouts[3]]
        for (number, layout) in parts.enumerated() {
            let outcome = try BridgeProcess(
                ranks.arguments("elastic", "train.train_iters=8", "train.exit_interval=2") + layout
                    + ["checkpoint.ckpt_format=\(container)"]
            ).wait()
            try #require(outcome.status == 0, "part \(number): \(outcome.errors)")
            #expect(bench.iterations("elastic").last == "iter_000000\(2 * number + 2)")
        }
        try expectSameLosses("elastic", "whole", "elastic")
        #expect(try losses("elastic").map(\.[0]) == (1...8).map(Double.init))
    }
}
