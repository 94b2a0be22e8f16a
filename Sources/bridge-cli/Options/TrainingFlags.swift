import ArgumentParser
import BridgeCore

/// Options of Megatron Bridge's `run_recipe.py` that change a setting: another spelling of `section.key=value`.
struct TrainingFlags: ParsableArguments {
    @Option(
        name: [short("ms"), long("max-steps"), long("train-iters")],
        help: help("train.train_iters", "n")
    )
    var maxSteps: String?

    @Option(name: [short("gb"), long("global-batch-size")], help: help("train.global_batch_size", "n"))
    var globalBatchSize: String?

    @Option(name: [short("mb"), long("micro-batch-size")], help: help("train.micro_batch_size", "n"))
    var microBatchSize: String?

    @Option(
        name: [short("sl"), long("seq-length")],
        help: help("model.seq_length and dataset.seq_length", "n")
    )
    var seqLength: String?

    @Option(
        name: [short("tp"), long("tp"), long("tensor-model-parallel-size")],
        help: help("model.tensor_model_parallel_size", "n")
    )
    var tensorSize: String?

    @Option(
        name: [short("pp"), long("pp"), long("pipeline-model-parallel-size")],
        help: help("model.pipeline_model_parallel_size", "n")
    )
    var pipelineSize: String?

    @Option(
        name: [short("cp"), long("cp"), long("context-parallel-size")],
        help: help("model.context_parallel_size", "n")
    )
    var contextSize: String?

    @Option(
        name: [short("vp"), long("vp"), long("virtual-pipeline-model-parallel-size")],
        help: help("model.virtual_pipeline_model_parallel_size", "n")
    )
    var virtualSize: String?

    @Option(name: [long("lr")], help: help("optimizer.lr", "x"))
    var lr: String?

    @Option(name: [long("min-lr")], help: help("optimizer.min_lr", "x"))
    var minLR: String?

    @Option(name: [long("warmup-iters")], help: help("scheduler.lr_warmup_iters", "n"))
    var warmupIters: String?

    @Option(name: [long("save-dir")], help: help("checkpoint.save", "path"), completion: .directory)
    var saveDirectory: String?

    @Option(name: [long("load-dir")], help: help("checkpoint.load", "path"), completion: .directory)
    var loadDirectory: String?

    @Option(name: [long("save-interval")], help: help("checkpoint.save_interval", "n"))
    var saveInterval: String?

    @Option(
        name: [long("step-func")],
        help: ArgumentHelp(
            "llm_step, gpt_step or vlm_step; accepted for compatibility with Megatron Bridge, has no effect.",
            valueName: "name"
        )
    )
    var stepFunction: StepFunction?

    /// The supported forward steps of Megatron Bridge.
    enum StepFunction: String, ExpressibleByArgument, CaseIterable {
        case llm = "llm_step"
        case gpt = "gpt_step"
        case vlm = "vlm_step"
    }

    /// The settings that the given options change.
    var changes: [Recipe.Change] {
        let table: [(option: String, keys: [String], text: String?)] = [
            (typed("-ms", "--max-steps", "--train-iters"), ["train.train_iters"], maxSteps),
            (typed("-gb", "--global-batch-size"), ["train.global_batch_size"], globalBatchSize),
            (typed("-mb", "--micro-batch-size"), ["train.micro_batch_size"], microBatchSize),
            (typed("-sl", "--seq-length"), ["model.seq_length", "dataset.seq_length"], seqLength),
            (
                typed("-tp", "--tp", "--tensor-model-parallel-size"), ["model.tensor_model_parallel_size"],
                tensorSize
            ),
            (
                typed("-pp", "--pp", "--pipeline-model-parallel-size"), ["model.pipeline_model_parallel_size"],
                pipelineSize
            ),
            (typed("-cp", "--cp", "--context-parallel-size"), ["model.context_parallel_size"], contextSize),
            (
                typed("-vp", "--vp", "--virtual-pipeline-model-parallel-size"),
                ["model.virtual_pipeline_model_parallel_size"], virtualSize
            ),
            ("--lr", ["optimizer.lr"], lr),
            ("--min-lr", ["optimizer.min_lr"], minLR),
            ("--warmup-iters", ["scheduler.lr_warmup_iters"], warmupIters),
            ("--save-dir", ["checkpoint.save"], saveDirectory),
            ("--load-dir", ["checkpoint.load"], loadDirectory),
            ("--save-interval", ["checkpoint.save_interval"], saveInterval),
        ]
        return table.flatMap { option, keys, text in
            keys.compactMap { key in text.map { Recipe.Change(option: option, key: key, text: $0) } }
        }
    }

    /// The name of an option that the user has typed, for messages; the first one if it is not on the command line in that form.
    private func typed(_ names: String...) -> String {
        let words = CommandLine.arguments.map { String($0.prefix { $0 != "=" }).replacing("_", with: "-") }
        return names.first { words.contains($0) } ?? names[0]
    }

    private static func short(_ name: String) -> NameSpecification.Element {
        .customLong(name, withSingleDash: true)
    }

    private static func long(_ name: String) -> NameSpecification.Element { .customLong(name) }

    private static func help(_ key: String, _ value: String) -> ArgumentHelp {
        ArgumentHelp("Sets \(key), as in Megatron Bridge.", valueName: value)
    }
}
