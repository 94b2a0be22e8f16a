import BridgeCore
import Communication
import Foundation
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Runs that begin with an adapter; that they do what PEFT does is in `compare_training.py`.
@Suite struct ContinuedAdapterTests {
    private let bench: SmallRun
    private var scratch: TemporaryDirectory { bench.scratch }

    init() throws { bench = try SmallRun() }

    /// The adapter of a first run as its checkpoint and in PEFT's format, with the loss at its end.
    private func adapter(_ scheme: Recipe.PEFTSection.Scheme = .lora) throws -> (checkpoint: String, peft: String) {
        let (checkpoint, peft) = (scratch.path("first"), scratch.path("peft"))
        _ = try SmallRun.run(bench.recipe(scheme, save: checkpoint)) { run in
            let adapters = try #require(run.adapters)
            try run.bridge.exportAdapter(adapters, on: run.model, to: peft, baseModel: nil)
        }
        return (checkpoint, peft)
    }

    private func continued(
        _ start: String,
        _ scheme: Recipe.PEFTSection.Scheme = .lora,
        steps: Int = 4,
        save: String = ""
    ) -> Recipe {
        var recipe = bench.recipe(scheme, steps: steps, save: save)
        recipe.peft.adapterNameOrPath = start
        // Those of the adapter hold.
        (recipe.peft.dim, recipe.peft.alpha, recipe.peft.targetModules) = (7, 1, ["linear_fc2"])
        return recipe
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func theFirstLossIsThatOfTheAdapter(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let (checkpoint, peft) = try adapter(scheme)
        // The fifth step of a run of the same rate sees the same samples as the first one, with the adapter of the fourth.
        let longer = try SmallRun.run(bench.recipe(scheme, steps: 5))
        for start in [checkpoint, "\(checkpoint)/iter_0000004", peft] {
            let losses = try SmallRun.run(continued(start, scheme)) { run in
                #expect(run.recipe.peft.dim == 3 && run.recipe.peft.alpha == 9)
                #expect(run.recipe.peft.canonical == (start == peft))
            }
            #expect(losses.count == 4 && losses[0] == longer[4] && losses[0] < longer[0] - 0.1, "\(start)")
        }
    }

    @Test func aResumedRunIsTheUninterruptedOne() throws {
        let (_, peft) = try adapter()
        let whole = try SmallRun.run(continued(peft, steps: 5))
        let save = scratch.path("second")
        var first = continued(peft, steps: 5, save: save)
        first.train.exitInterval = 2
        let parts = try SmallRun.run(first) + SmallRun.run(continued(peft, steps: 5, save: save))
        #expect(parts == whole)
        // The base of what was trained may not change.
        let weights = "\(peft)/adapter_model.safetensors"
        var bytes = try Data(contentsOf: URL(filePath: weights))
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: URL(filePath: weights))
        #expect(
            SmallRun.message { _ = try SmallRun.run(continued(peft, steps: 6, save: save)) }
                .contains("was trained on other weights: those of \(peft) have changed since")
        )
    }

    @Test func aCheckpointIsContinuedUnderAnyLayout() throws {
        let (checkpoint, peft) = try adapter()
        let expected = try SmallRun.run(continued(checkpoint))
        for (tensor, pipeline) in [(2, 1), (1, 2)] {
            func divided(_ start: String) -> Recipe {
                var recipe = continued(start)
                recipe.model.tensorModelParallelSize = tensor
                recipe.model.pipelineModelParallelSize = pipeline
                return recipe
            }
            let (fromCheckpoint, fromPEFT) = (divided(checkpoint), divided(peft))
            for losses in try ThreadWorld.run(2, { try SmallRun.run(fromCheckpoint, in: $0) }) {
                for (loss, other) in zip(losses, expected) { #expect(abs(loss - other) <= 1e-5 * other) }
            }
            #expect(
                SmallRun.message { _ = try ThreadWorld.run(2) { try SmallRun.run(fromPEFT, in: $0) } }
                    .contains("convert it with 'bridge adapter import'")
            )
        }
    }

    @Test func whatCannotBeContinuedIsRefused() throws {
        let (checkpoint, _) = try adapter()
        #expect(
            SmallRun.message { _ = try SmallRun.run(continued(checkpoint, .dora)) }
                == "peft.scheme is dora, but the adapter \(checkpoint) is lora; set peft.scheme=lora"
        )
        #expect(
            SmallRun.message { _ = try SmallRun.run(continued(scratch.path)) }.contains(
                "an adapter: a directory with adapter_config.json"
            )
        )
        var whole = bench.recipe(save: scratch.path("whole"))
        whole.peft.modulesToSave = ["word_embeddings"]
        _ = try SmallRun.run(whole)
        #expect(
            SmallRun.message { _ = try SmallRun.run(continued(scratch.path("whole"))) }
                .contains("has modules that were trained in full, which no new run continues")
        )
        let keys: Set = ["peft.dim", "peft.target_modules", "peft.dropout"]
        let refused = continued(checkpoint).settingsWithoutEffect(among: keys)
        #expect(refused.map(\.key).sorted() == ["peft.dim", "peft.target_modules"])
        #expect(refused.first?.problem.contains("the adapter of peft.adapter_name_or_path has its own") == true)
    }
}
