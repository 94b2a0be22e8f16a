import BridgeCore
import Foundation
import JSONTree
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// What follows a checkpoint: the Hugging Face directory, its model card, and the user's command.
@Suite struct CheckpointFollowUpTests {
    private static func recipe(
        _ directory: TemporaryDirectory,
        _ scheme: Recipe.PEFTSection.Scheme = .none
    ) throws -> Recipe {
        var recipe = Recipe(name: "demo")
        let rows = (0..<4).map { #"{"input_ids": [1, \#($0 + 5), 9, 7], "labels": [-100, \#($0 + 5), 9, 7]}"# }
        recipe.dataset.datasetType = .tokenized
        recipe.dataset.trainDataPath = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
        (recipe.model.seqLength, recipe.dataset.seqLength) = (16, 16)
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (4, 2, 2)
        recipe.train.evalInterval = 0
        recipe.scheduler.lrWarmupIters = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
        (recipe.peft.scheme, recipe.peft.dim) = (scheme, 4)
        recipe.checkpoint.pretrainedCheckpoint = Fixtures.checkpoint("mistral")
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (directory.path("run"), 2)
        return recipe
    }

    private static func train(_ recipe: Recipe) throws -> TrainingRun {
        let environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: TestEngine.cpu(threadCount: 1),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            today: "2026-01-01"
        )
        let run = try TrainingRun(recipe, in: environment)
        _ = try run.trainer(callbacks: []).run()
        return run
    }

    private static func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    @Test func everyCheckpointHasTheExportOfThatCheckpoint() throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory)
        recipe.checkpoint.alsoSaveHFCheckpoint = .each
        let run = try Self.train(recipe)
        for step in [2, 4] {
            let iteration = directory.path("run/iter_000000\(step)")
            let exported = directory.path("exported-\(step)")
            try run.bridge.exportCheckpoint(from: iteration, to: exported)
            for name in try FileManager.default.contentsOfDirectory(atPath: exported) where name != "README.md" {
                #expect(try Self.bytes("\(iteration)/hf/\(name)") == Self.bytes("\(exported)/\(name)"), "\(name)")
            }
            let card = try String(contentsOfFile: "\(iteration)/hf/README.md", encoding: .utf8)
            for words in [
                "library_name: transformers", "| Steps | \(step) of 4 |", "| Data | rows.jsonl |", "Training loss",
            ] {
                #expect(card.contains(words), "\(words)")
            }
            // What is in the checkpoint besides its own files does not damage it.
            #expect(try NativeCheckpoint.check(iteration).corruptFiles.isEmpty)
        }
        // A run resumes from such a checkpoint.
        recipe.train.trainIters = 6
        #expect(try Self.train(recipe).resumedFrom?.hasSuffix("iter_0000004") == true)
        #expect(FileManager.default.fileExists(atPath: directory.path("run/iter_0000006/hf/config.json")))
    }

    @Test func theLastCheckpointAloneMayHaveIt() throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory)
        recipe.checkpoint.alsoSaveHFCheckpoint = .last
        _ = try Self.train(recipe)
        #expect(!FileManager.default.fileExists(atPath: directory.path("run/iter_0000002/hf")))
        #expect(FileManager.default.fileExists(atPath: directory.path("run/iter_0000004/hf/config.json")))
    }

    /// What peft and vLLM read of an adapter's directory.
    ///
    /// vLLM: `PEFTHelper` in vllm/lora/peft_helper.py and `parse_fine_tuned_lora_name` in vllm/lora/utils.py, 0.11.
    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func anAdapterIsADirectoryOfPEFT(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory, scheme)
        recipe.checkpoint.alsoSaveHFCheckpoint = .last
        let run = try Self.train(recipe)
        let path = directory.path("run/iter_0000004/hf")
        let settings = try JSON(contentsOf: "\(path)/adapter_config.json")
        #expect(settings["r"] == 4 && settings["lora_alpha"] == 32 && settings["bias"] == "none")
        #expect(settings["base_model_name_or_path"]?.string == Fixtures.checkpoint("mistral"))
        // Names of kinds, or full names, of which vLLM looks at the end.
        let named = settings["target_modules"]?.array?.compactMap(\.string) ?? []
        let targets = Set(named.compactMap { $0.split(separator: ".").last.map(String.init) })
        #expect(targets == ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
        let names = try SafetensorsFile(path: "\(path)/adapter_model.safetensors").tensors.map(\.name)
        for name in names {
            let parts = name.split(separator: ".").map(String.init)
            #expect(parts.prefix(2) == ["base_model", "model"], "\(name)")
            let isMagnitude =
                parts.suffix(1) == ["lora_magnitude_vector"] || parts.dropLast().last == "lora_magnitude_vector"
            #expect(
                parts.last == "weight" && ["lora_A", "lora_B"].contains(parts.dropLast().last) || isMagnitude,
                "\(name)"
            )
            #expect(parts.contains { targets.contains($0) }, "\(name)")
        }
        // The adapter that was written is the one that was trained.
        let model = try run.bridge.toModel(elementType: .float32, on: TestEngine.cpu(threadCount: 1))
        let read = try run.bridge.loadAdapters(from: path, on: model, elementType: .float32)
        #expect(read.parameters.count > 0 && read.configuration.scheme == scheme)
        let card = try String(contentsOfFile: "\(path)/README.md", encoding: .utf8)
        #expect(card.contains("library_name: peft") && card.contains("of rank 4"))
    }

    @Test func theCommandSeesTheCheckpoint() throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory)
        recipe.checkpoint.alsoSaveHFCheckpoint = .last
        let log = directory.path("said")
        recipe.checkpoint.afterSave =
            "test -f \"$BRIDGE_CHECKPOINT/manifest.json\" && echo \"$BRIDGE_ITERATION ${BRIDGE_HF_CHECKPOINT##*/}\" >> '\(log)'"
        _ = try Self.train(recipe)
        #expect(try String(contentsOfFile: log, encoding: .utf8) == "2 \n4 hf\n")
    }

    @Test func aCommandThatFailsEndsNoRunButIsToldAtItsEnd() throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory)
        recipe.checkpoint.afterSave = "exit 3"
        expectError(mentioning: "what follows 2 of them failed") { try Self.train(recipe) }
        // Both checkpoints are there.
        #expect(try NativeCheckpoint.check(directory.path("run/iter_0000004")).corruptFiles.isEmpty)
        #expect(try NativeCheckpoint.check(directory.path("run/iter_0000002")).corruptFiles.isEmpty)
    }

    /// Whether the checkpoint of the failure is written during training, in the background or not, or at the end.
    @Test(arguments: [2, 4], [false, true]) func oneFailureIsAnErrorAtTheEnd(_ step: Int, _ inBackground: Bool) throws {
        let directory = try TemporaryDirectory()
        var recipe = try Self.recipe(directory)
        recipe.checkpoint.asyncSave = inBackground
        recipe.checkpoint.afterSave = "test \"$BRIDGE_ITERATION\" != \(step)"
        expectError(mentioning: "the checkpoint of step \(step) is written", "status 1") { try Self.train(recipe) }
        #expect(try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration) == [2, 4])
    }
}
