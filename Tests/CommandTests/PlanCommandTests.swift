import JSONTree
import TestSupport
import Testing

/// `bridge plan`, `bridge train --dry-run` of several ranks, and layouts that are refused.
@Suite struct PlanCommandTests {
    private static func toy(_ scratch: borrowing TemporaryDirectory) throws -> String {
        let path = scratch.path("toy")
        #expect(try BridgeProcess.run("toy", "--family", "mistral", "--output", path).status == 0)
        return path
    }

    private static func train(_ model: String, _ options: [String]) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            [
                "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model, "--dataset-type",
                "mock", "dataset.num_images=0",
            ] + options
        ).wait()
    }

    @Test func aPlanHasTheRecommendedAndTheBestLayout() throws {
        let outcome = try BridgeProcess.run(
            "plan",
            "--gpus",
            "8",
            "--recipe",
            "ministral3_8b_sft_config",
            "--json"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        let recipe = try #require(json["recipes"]?.array?.first)
        // The recipe's own layout has TP 2.
        #expect(recipe["recommended"]?["tensor_model_parallel_size"]?.integer == 2)
        #expect(recipe["recommended"]?["data_parallel_size"]?.integer == 4)
        #expect(recipe["best"]?["fits"]?.bool == true)
        #expect((recipe["best"]?["bytes"]?.integer ?? .max) <= (json["usable_memory_bytes"]?.integer ?? 0))
    }

    /// A recipe in a file is planned for the model that it trains.
    @Test func aFileIsARecipe() throws {
        let scratch = try TemporaryDirectory()
        let model = try Self.toy(scratch)
        let shown = try BridgeProcess.run(
            "recipes",
            "show",
            "mistral_7b_finetune_config",
            "checkpoint.pretrained_checkpoint=\(model)",
            "model.seq_length=64",
            "dataset.seq_length=64"
        )
        #expect(shown.status == 0, "\(shown.errors)")
        let file = try scratch.write(Array(shown.output.utf8), to: "own.yaml")
        let outcome = try BridgeProcess.run("plan", "--gpus", "2", "--hardware", "cpu", "--recipe", file, "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let recipe = try #require(JSON(parsing: Array(outcome.output.utf8))["recipes"]?.array?.first)
        // The toy has some hundred thousand parameters, and the published model seven billion.
        #expect((recipe["best"]?["bytes"]?.integer ?? .max) < 100 << 20, "\(outcome.output)")
    }

    @Test func anUnknownDeviceIsWrongUsage() throws {
        let outcome = try BridgeProcess.run("plan", "--gpus", "8", "--hardware", "abacus")
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("found 'abacus', expected h100, h200, cpu"))
    }

    @Test func aDryRunDescribesEveryRank() throws {
        let scratch = try TemporaryDirectory()
        let outcome = try Self.train(
            Self.toy(scratch),
            [
                "--dry-run", "--world-size", "8", "-tp", "2", "-pp", "2", "--json",
                "checkpoint.save=\(scratch.path("r"))",
            ]
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["ranks"]?.array?.count == 8)
        #expect(json["layout"]?["data_parallel_size"]?.integer == 2)
        #expect(json["recipe"]?["model"]?["tensor_model_parallel_size"]?.integer == 2)
        // Four parts of the model, in two copies.
        let all = json["parts"]?.array?.first?["parameters"]?.integer ?? 0
        let sum = (json["ranks"]?.array ?? []).reduce(0) { $0 + ($1["parameters"]?.integer ?? 0) }
        #expect(sum >= 2 * all)
    }

    @Test func aBadLayoutIsOneMessageWithAllFaults() throws {
        let scratch = try TemporaryDirectory()
        let outcome = try Self.train(Self.toy(scratch), ["--nproc-per-node", "7", "-tp", "3", "-pp", "2"])
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("the layout TP 3 x PP 2 x CP 1 does not fit 7 ranks"))
        #expect(outcome.errors.contains("7 ranks cannot be divided by TP x PP x CP (3 x 2 x 1 = 6)"))
        #expect(outcome.errors.contains("expected a multiple of TP, which is 3"))
        #expect(outcome.errors.ranges(of: "error:").count == 1, "\(outcome.errors)")
        #expect(!outcome.errors.contains("mpirun"), "no rank is started")
    }

    @Test func aWorldSizeIsForADryRun() throws {
        let outcome = try Self.train("toy", ["--world-size", "8"])
        #expect(outcome.status == 64 && outcome.errors.contains("--world-size is only used with --dry-run"))
    }
}
