import Foundation
import TestSupport
import Testing

/// Runs of `bridge train` with two ranks on this host.
struct ParallelBench {
    let bench: TrainBench
    var scratch: TemporaryDirectory { bench.scratch }

    init() throws { bench = try TrainBench() }

    /// The layouts of two ranks, each by the setting that differs from one rank's.
    static let layouts = [
        "model.tensor_model_parallel_size=2", "model.pipeline_model_parallel_size=2", "model.context_parallel_size=2",
        "train.micro_batch_size=2",
    ]

    /// The arguments of a run in float32, which `--nproc-per-node` or `mpirun` starts.
    func arguments(_ name: String, _ settings: String...) -> [String] {
        bench.arguments(name, "mixed_precision=fp32", "dataset.pad_to_multiple_of=8") + settings
    }

    /// The arguments of a run without an end, that saves often.
    func endless(_ name: String, _ settings: String...) -> [String] {
        arguments(name, "train.train_iters=1000000", "checkpoint.save_interval=5", "checkpoint.most_recent_k=2")
            + ["--nproc-per-node", "2"] + settings
    }

    /// The process of a rank of a run.
    func process(ofRank rank: Int, of name: String) throws -> pid_t {
        let needle = "checkpoint.save=\(scratch.path(name))"
        func text(_ path: String) -> [String] {
            let bytes = (try? Data(contentsOf: URL(fileURLWithPath: path))) ?? Data()
            return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        }
        let all = try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }
        return try #require(
            all.first {
                text("/proc/\($0)/cmdline").contains(needle)
                    && text("/proc/\($0)/environ").contains("OMPI_COMM_WORLD_RANK=\(rank)")
            }
        )
    }

    /// The run ended with one sentence, and its last checkpoint is complete.
    func expectEnd(
        of name: String,
        _ outcome: BridgeProcess.Outcome,
        status: Int32 = 1,
        mentioning words: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let errors = outcome.errors
        #expect(outcome.signal == nil && outcome.status == status, "\(errors)", sourceLocation: sourceLocation)
        let lines = errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
        #expect(lines.count == 1, "expected one sentence, found: \(errors)", sourceLocation: sourceLocation)
        for word in words {
            #expect(outcome.sentence.contains(word), "no \(word) in \(errors)", sourceLocation: sourceLocation)
        }
        #expect(!errors.contains("MPI_ABORT") && !errors.contains("mpirun noticed"), "\(errors)")
        guard !bench.iterations(name).isEmpty else { return }
        let check = try BridgeProcess.run("checkpoint", "check", scratch.path(name))
        #expect(check.status == 0, "\(check.errors)", sourceLocation: sourceLocation)
    }
}
