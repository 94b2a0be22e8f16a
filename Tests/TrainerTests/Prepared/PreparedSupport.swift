import BridgeCore
import Datasets
import Foundation
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Data sets, recipes and runs for the tests of prepared data.
enum PreparedSupport {
    final class Log: TrainerCallback {
        var steps: [StepRecord] = []
        var validations: [ValidationRecord] = []
        func onStepEnd(_ step: StepRecord) { steps.append(step) }
        func onEvaluate(_ validation: ValidationRecord) { validations.append(validation) }
        var losses: [Double] { steps.map(\.loss) }
    }

    static let images = "\(Fixtures.root)/images"

    /// A file of conversations of several lengths, some with an image; or of pairs of answers.
    static func rows(
        _ directory: TemporaryDirectory,
        count: Int = 12,
        images: Bool,
        pairs: Bool = false,
        name: String = "rows.jsonl"
    ) throws -> String {
        let first = name == "rows.jsonl" ? 0 : 100
        let rows = (first..<first + count).map { number in
            let shown = images && number % 3 == 0
            let words = String(repeating: "words and ", count: number * 5 % 7)
            let question = "\(shown ? "<image>" : "")Question \(number) with \(words)more?"
            let answer = "Answer \(number)" + String(repeating: " again", count: number * 3 % 5)
            let media = shown ? #", "images": ["rgb.png"]"# : ""
            let answers =
                pairs
                ? #""prompt": "\#(question)", "chosen": "\#(answer)", "rejected": "No. \#(words)""#
                : #""messages": [{"role": "user", "content": "\#(question)"}, {"role": "assistant", "content": "\#(answer)"}]"#
            return "{\(answers)\(media)}"
        }
        return try directory.write(Array(rows.joined(separator: "\n").utf8), to: name)
    }

    /// A directory with a table, with the rows of a file.
    static func table(_ directory: TemporaryDirectory, from path: String) throws -> String {
        try FileManager.default.createDirectory(atPath: directory.path("table"), withIntermediateDirectories: true)
        for name in ["train", "validation"] {
            try directory.write([UInt8](Data(contentsOf: URL(filePath: path))), to: "table/\(name).jsonl")
        }
        return directory.path("table")
    }

    static func recipe(_ model: String, _ data: String) -> Recipe {
        var recipe = Recipe(name: "test")
        recipe.mixedPrecision = .fp32
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (4, 4, 2)
        recipe.train.evalInterval = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
        recipe.scheduler.lrWarmupIters = 0
        (recipe.model.seqLength, recipe.dataset.seqLength) = (128, 128)
        recipe.dataset.datasetType = .preloaded
        recipe.dataset.trainDataPath = data
        if model != "mistral" { recipe.dataset.imageFolder = images }
        recipe.dataset.numWorkers = 2
        recipe.dataset.date = "2026-01-02"
        recipe.checkpoint.pretrainedCheckpoint = Fixtures.checkpoint(model)
        return recipe
    }

    static func bridge(_ recipe: Recipe) throws -> AutoBridge {
        try AutoBridge.forProcessing(recipe.checkpoint.pretrainedCheckpoint)
    }

    static func opener(_ recipe: Recipe, preparing: Bool = false) throws -> DatasetOpener {
        var opener = try DatasetOpener(recipe, for: bridge(recipe), isForPreparation: preparing)
        opener.openTable = { try HuggingFaceTable($0, split: $1, hub: nil) }
        return opener
    }

    /// Prepares the data of a recipe.
    @discardableResult static func prepare(
        _ recipe: Recipe,
        in path: String,
        shardByteCount: Int = 1 << 28,
        overwrites: Bool = false,
        validates: Bool = false
    ) throws -> [DatasetOpener.PreparedResult] {
        var preparation = PreparedStore.Preparation()
        (preparation.shardByteCount, preparation.overwrites) = (shardByteCount, overwrites)
        return try opener(recipe, preparing: true).prepare(
            in: PreparedStore(path: path),
            preparation,
            validates: validates
        )
    }

    static func run(_ recipe: Recipe) throws -> (run: TrainingRun, trainer: Trainer, log: Log) {
        var environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: TestEngine.cpu(threadCount: 1),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            today: "2026-01-01"
        )
        environment.openTable = { try HuggingFaceTable($0, split: $1, hub: nil) }
        let (run, log) = (try TrainingRun(recipe, in: environment), Log())
        return (run, try run.trainer(callbacks: [log]), log)
    }

    static func weights(_ run: TrainingRun) -> [[Float]] {
        (run.model.parameters + (run.adapters?.parameters ?? [])).map { $0.tensor.floats() }
    }
}
