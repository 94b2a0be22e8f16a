import Foundation
import JSONTree
import TestSupport
import Testing

/// A toy, rows to train it on, and runs of `bridge train` beside them.
struct TrainBench {
    let scratch: TemporaryDirectory

    /// Makes the toy.
    init(_ family: String = "mistral") throws {
        scratch = try TemporaryDirectory()
        let made = try BridgeProcess.run("toy", "--family", family, "--output", scratch.path("toy"), "--seed", "3")
        #expect(made.status == 0, "\(made.errors)")
        try write(Self.rows, to: "rows.jsonl")
    }

    /// Conversations of unequal length.
    static let rows: [String] = (0..<11).map { number in
        let words = (0...number % 4).map { "word \($0 * 7 + number)" }.joined(separator: ", ")
        return row("Say \(number).", words)
    }

    /// A row with a question and, if there is one, an answer.
    static func row(_ question: String, _ answer: String?, image: String? = nil) -> String {
        let turn = answer.map { ", {\"role\": \"assistant\", \"content\": \"\($0)\"}" } ?? ""
        let images = image.map { ", \"images\": [\"\($0)\"]" } ?? ""
        return "{\"messages\": [{\"role\": \"user\", \"content\": \"\(question)\"}\(turn)]\(images)}"
    }

    func write(_ rows: [String], to name: String) throws {
        try Data(rows.joined(separator: "\n").utf8).write(to: scratch.url(name))
    }

    /// The arguments of `bridge` for a run of the given name, of six steps unless `settings` specifies otherwise.
    func arguments(
        _ name: String,
        recipe: String = "mistral_7b_finetune_config",
        _ settings: String...
    ) -> [String] {
        [
            "train", "--recipe", recipe, "--pretrained-checkpoint", scratch.path("toy"), "--dataset-type", "preloaded",
            "dataset.train_data_path=\(scratch.path("rows.jsonl"))", "dataset.seq_length=96", "model.seq_length=96",
            "train.train_iters=6", "train.global_batch_size=4", "train.micro_batch_size=2", "train.eval_interval=0",
            "optimizer.lr=0.002", "scheduler.lr_warmup_iters=1", "logger.log_interval=1",
            "model.tensor_model_parallel_size=1", "model.pipeline_model_parallel_size=1",
            "checkpoint.save=\(scratch.path(name))", "logger.log_dir=\(scratch.path("\(name)-log"))",
        ] + settings
    }

    /// Waits until a run has logged some steps.
    func waitForSteps(_ count: Int, of name: String, by run: BridgeProcess) throws {
        // The last line of the file may be incomplete.
        try run.wait(until: "it logs \(count) steps") { (try? log(name).count) ?? 0 >= count }
    }

    /// The steps in the log of a run.
    func log(_ name: String) throws -> [JSON] {
        let text = try String(contentsOf: scratch.url("\(name)-log/log.jsonl"), encoding: .utf8)
        return try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    }

    /// What every step of a run has computed; the bits of the numbers, since JSON has their shortest exact form.
    func steps(_ name: String) throws -> [[JSON?]] {
        let keys = ["iteration", "lm_loss", "grad_norm", "learning_rate", "consumed_samples", "trained_tokens"]
        return try log(name).map { row in keys.map { row[$0] } }
    }

    /// The tensors, and where the run was, in an iteration of a run.
    func state(_ name: String, iteration: Int) -> [String: Data] {
        let directory = "\(scratch.path(name))/iter_\(String(format: "%07d", iteration))"
        let endings = [".safetensors", ".distcp", ".metadata", "train_state.json"]
        return TemporaryDirectory.bytes(of: directory).filter { file in endings.contains { file.key.hasSuffix($0) } }
    }

    /// The iterations of a run, whole ones.
    func iterations(_ name: String) -> [String] {
        let found = (try? FileManager.default.contentsOfDirectory(atPath: scratch.path(name))) ?? []
        return found.filter { $0.hasPrefix("iter_") }.sorted()
    }
}
