import Foundation
import TestSupport
import Testing

/// The scripts in `Examples/`, in a row on a toy of each family, without network.
@Suite struct ExampleScriptTests {
    @Test(arguments: [("mistral", "mistral"), ("ministral3", "ministral3"), ("gemma3_vl", "gemma3")])
    func theFourScriptsOfAFamilyRunInARow(_ directory: String, _ family: String) throws {
        let scratch = try TemporaryDirectory()
        let toy = scratch.path("toy")
        let made = try BridgeProcess.run("toy", "--family", family, "--output", toy)
        #expect(made.status == 0, "\(made.errors)")
        let environment = [
            "WORKSPACE": scratch.path("work"), "HF_MODEL_ID": toy, "TP": "2", "PP": "2", "NPROC_PER_NODE": "4",
            "TRAIN_ITERS": "2", "GLOBAL_BATCH_SIZE": "2", "EVAL_ITERS": "1", "MAX_NEW_TOKENS": "3",
            "HF_HUB_OFFLINE": "1",
            "HF_ENDPOINT": "http://127.0.0.1:9", "SAVE_DIR": "",
        ]
        func run(_ script: String) throws -> BridgeProcess.Outcome {
            let outcome = try BridgeProcess(
                ["\(Fixtures.repository)/Examples/\(directory)/\(script).sh"],
                shell: "BRIDGE=$1 exec bash $2",
                environment: environment
            ).wait()
            #expect(outcome.status == 0, "\(script): \(outcome.output)\(outcome.errors)")
            return outcome
        }
        _ = try run("conversion")
        let rankFile = "work/models/toy/iter_0000000/weights_tp01_pp01.safetensors"
        #expect(FileManager.default.fileExists(atPath: scratch.path(rankFile)))
        #expect(
            TemporaryDirectory.bytes(of: scratch.path("work/models/toy-hf-export")) == TemporaryDirectory.bytes(of: toy)
        )

        let inference = try run("inference")
        #expect(inference.output.components(separatedBy: "+ bridge generate").count == 4)

        let full = try run("sft")
        #expect(full.output.contains("training: 4 ranks (TP 2, PP 2)"))
        #expect(TemporaryDirectory.content(of: scratch.path("work/results/toy_sft/hf")).contains("config.json"))

        _ = try run("peft")
        let adapter = TemporaryDirectory.content(of: scratch.path("work/results/toy_lora/adapter"))
        #expect(adapter.contains("adapter_config.json") && adapter.contains("adapter_model.safetensors"))
    }

    @Test func anUnknownSizeIsRefused() throws {
        let outcome = try BridgeProcess(
            ["\(Fixtures.repository)/Examples/ministral3/conversion.sh"],
            shell: "BRIDGE=$1 MODEL_SIZE=4B exec bash $2"
        ).wait()
        #expect(outcome.status == 2 && outcome.errors == "MODEL_SIZE is 4B, expected 3B, 8B or 14B\n")
    }
}
