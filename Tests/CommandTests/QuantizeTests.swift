import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge quantize`, and `--quantize` of the commands that run a model; that the values are right is in `compare_quantized.py`.
@Suite struct QuantizeTests {
    private let scratch: TemporaryDirectory
    private let model: String

    init() throws {
        scratch = try TemporaryDirectory()
        model = scratch.path("toy")
        let toy = try BridgeProcess.run("toy", "--family", "gemma3", "--hidden-size", "128", "--output", model)
        try #require(toy.status == 0, "\(toy.errors)")
    }

    private func quantize(_ words: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(["quantize", model] + words).wait()
    }

    private func tokens(_ model: String, _ words: String...) throws -> (tokens: [Int], errors: String) {
        let arguments = ["generate", "--hf-model", model, "--prompt", "Hello", "--max-new-tokens", "6", "--json"]
        let outcome = try BridgeProcess(arguments + words).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        let tokens = try JSON(parsing: Array(outcome.output.utf8))["token_ids"]?.array?.compactMap(\.integer)
        return (try #require(tokens), outcome.errors)
    }

    @Test func aModelThatWasWrittenAnswersAsOneThatIsQuantizedWhenItIsLoaded() throws {
        let packed = scratch.path("packed")
        let outcome = try quantize(packed, "--bits", "4", "--group-size", "32")
        #expect(outcome.status == 0 && outcome.output.contains("quantized the model"), "\(outcome.errors)")
        #expect(
            outcome.output.contains("matrices keep their type") || outcome.errors.contains("matrices keep their type")
        )
        let options = ["--quantize", "int4", "--quantize-group-size", "32"]
        let loaded = try tokens(model, options[0], options[1], options[2], options[3])
        #expect(loaded.errors.contains("quantized weights: 35 of 4 bits, 1 of 8 bits"), "\(loaded.errors)")
        // What is packed stays as it is, and the embedding gets 8 bits.
        let both = try tokens(packed, options[0], options[1], options[2], options[3])
        #expect(both.tokens == loaded.tokens)
        #expect(both.errors.contains("quantized weights: 35 of 4 bits, 1 of 8 bits"), "\(both.errors)")
        #expect(try !tokens(packed).errors.contains("quantized weights"))
        let again = try BridgeProcess.run("quantize", packed, scratch.path("again"), "--bits", "8")
        #expect(again.status == 64 && again.sentence.contains("is quantized already"), "\(again.errors)")
    }

    @Test func packedWeightsAreShownAndNotTrained() throws {
        let packed = scratch.path("packed")
        #expect(try quantize(packed, "--bits", "4").status == 0)
        let shown = try JSON(parsing: Array(BridgeProcess.run("inspect", packed, "--tensors", "--json").output.utf8))
        let facts = try #require(shown["facts"]?["quantized"]?.string)
        let types = (shown["tensors"]?.array ?? []).compactMap { $0["dtype"]?.string }
        #expect(facts == "\(types.count { $0 == "int4" }) matrices of 4 bits" && types.contains("bfloat16"), "\(facts)")
        let rows = scratch.path("rows.jsonl")
        try Data(TrainBench.rows.joined(separator: "\n").utf8).write(to: scratch.url("rows.jsonl"))
        let start = [
            "train", "--hf-model", packed, "--data", rows, "checkpoint.save=\(scratch.path("run"))", "-ms", "3",
        ]
        let refused = try BridgeProcess(start + ["--mode", "sft"]).wait()
        expect(
            refused,
            failsWith: 64,
            mentioning: "weights of 8 or 4 bits, which cannot be trained",
            "--peft-scheme lora"
        )
        let trained = try BridgeProcess(start).wait()
        #expect(trained.status == 0, "\(trained.errors)")
    }

    @Test func exceptionsAndADryRunAreShown() throws {
        let exception = "*.layers.0.*linear_fc1.weight=int8"
        let outcome = try quantize(
            scratch.path("out"),
            "--bits",
            "4",
            "--group-size",
            "32",
            "--exception",
            exception,
            "--dry-run",
            "--json"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
        let tensors = try JSON(parsing: Array(outcome.output.utf8))["tensors"]?.array ?? []
        func notes(_ name: String) -> String {
            tensors.first { $0["name"]?.string?.hasSuffix(name) ?? false }?["notes"]?.array?.first?.string ?? "none"
        }
        #expect(notes("layers.0.mlp.gate_proj.weight_packed") == "quantized to 8 bits")
        #expect(notes("layers.1.mlp.gate_proj.weight_packed") == "quantized to 4 bits")
        #expect(notes("embed_tokens.weight") == "none")
    }

    @Test func anExceptionForNothingIsRefused() throws {
        let outcome = try quantize(
            scratch.path("out"),
            "--bits",
            "8",
            "--group-size",
            "32",
            "--exception",
            "model.layers.0.*=none"
        )
        #expect(outcome.status == 64 && outcome.sentence.contains("fits no matrix of the model"), "\(outcome.errors)")
        let words = ["--prompt", "a", "--quantize", "int8", "--quantize-exception", "*.nope=none"]
        let generated = try BridgeProcess(["generate", "--hf-model", model] + words).wait()
        #expect(
            generated.sentence.contains("such as language_model.embedding.word_embeddings.weight"),
            "\(generated.errors)"
        )
    }

    @Test(arguments: [
        (["quantize", "MODEL", "OUT", "--bits", "5"], "--bits is 5, expected 8 or 4"),
        (
            ["quantize", "MODEL", "OUT", "--bits", "4", "--group-size", "48"],
            "--group-size is 48, expected 32, 64 or 128"
        ),
        (
            ["quantize", "MODEL", "OUT", "--bits", "4", "--exception", "a=int2"],
            "expected names=type with int8, int4 or none"
        ),
        (["generate", "--hf-model", "MODEL", "--prompt", "a", "--quantize-group-size", "32"], "requires --quantize"),
        (["chat", "--hf-model", "MODEL", "--quantize-exception", "a=int8"], "requires --quantize"),
        (
            [
                "forward", "--hf-model", "MODEL", "--prompt", "a", "--output", "OUT", "--quantize", "int4",
                "--quantize-exception", "x",
            ],
            "--quantize-exception is 'x'"
        ),
    ])
    func wrongOptionsAreRefused(_ words: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(words.map { ["MODEL": model, "OUT": scratch.path("out")][$0] ?? $0 }).wait()
        #expect(outcome.status == 64 && outcome.errors.contains(sentence), "\(outcome.errors)")
    }

    /// A packed model with one tensor changed.
    private func damaged(_ change: (inout [String: (type: String, shape: [Int], bytes: Data)]) -> Void) throws -> String
    {
        let packed = scratch.path("packed-\(UUID().uuidString)")
        let outcome = try quantize(packed, "--bits", "4", "--group-size", "32")
        try #require(outcome.status == 0, "\(outcome.errors)")
        for file in TemporaryDirectory.content(of: packed) where file.hasSuffix(".safetensors") {
            let url = URL(filePath: "\(packed)/\(file)")
            let data = try Data(contentsOf: url)
            let length = data.prefix(8).withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
            let header = try JSON(parsing: Array(data[8..<8 + length])).object
            var tensors: [String: (type: String, shape: [Int], bytes: Data)] = [:]
            for (name, entry) in header ?? JSONObject() where name != "__metadata__" {
                let offsets = entry["data_offsets"]?.array?.compactMap(\.integer) ?? []
                try #require(offsets.count == 2)
                tensors[name] = (
                    entry["dtype"]?.string ?? "", entry["shape"]?.array?.compactMap(\.integer) ?? [],
                    data[8 + length + offsets[0]..<8 + length + offsets[1]]
                )
            }
            change(&tensors)
            var (entries, content) = ([String](), Data())
            for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
                let start = content.count
                content += tensor.bytes
                entries.append(Models.entry(name, tensor.type, "\(tensor.shape)", "[\(start),\(content.count)]"))
            }
            try (Models.safetensors("{\(entries.joined(separator: ","))}", data: 0) + content).write(to: url)
        }
        // Without the index any tensors are found.
        try? FileManager.default.removeItem(atPath: "\(packed)/model.safetensors.index.json")
        return packed
    }

    private func refusal(_ model: String) throws -> String {
        let outcome = try BridgeProcess.run(
            "generate",
            "--hf-model",
            model,
            "--prompt",
            "Hello",
            "--max-new-tokens",
            "1"
        )
        #expect(outcome.status != 0)
        return outcome.errors
    }

    private static let name = "layers.1.mlp.gate_proj.weight"

    @Test func weightsThatArePackedInAnotherWayAreRefused() throws {
        let isWeight = { (name: String, ending: String) in name.hasSuffix(Self.name + ending) }
        let withoutShape = try damaged { tensors in
            tensors = tensors.filter { !isWeight($0.key, "_shape") }
        }
        #expect(try refusal(withoutShape).contains("weight_shape is missing"))
        let withZeroPoint = try damaged { tensors in
            guard let (name, scale) = tensors.first(where: { isWeight($0.key, "_scale") }) else { return }
            tensors[name.replacing("_scale", with: "_zero_point")] = scale
        }
        #expect(try refusal(withZeroPoint).contains("weights with zero points (symmetric: false) are not supported"))
        let withFewFactors = try damaged { tensors in
            guard let (name, scale) = tensors.first(where: { isWeight($0.key, "_scale") }) else { return }
            tensors[name] = (scale.type, [scale.shape[0], 3], scale.bytes.prefix(scale.shape[0] * 6))
        }
        #expect(try refusal(withFewFactors).contains("whose groups divide 128"))
        let withFewWords = try damaged { tensors in
            guard let (name, words) = tensors.first(where: { isWeight($0.key, "_packed") }) else { return }
            tensors[name] = (words.type, [words.shape[0], 12], words.bytes.prefix(words.shape[0] * 48))
        }
        #expect(try refusal(withFewWords).contains("expected int32 words with 4 or 8 bits"))
    }
}
