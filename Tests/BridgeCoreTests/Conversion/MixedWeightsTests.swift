import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Weights of several types, quantised ones, and what became of them in a run.
@Suite struct MixedWeightsTests {
    private let directory: TemporaryDirectory
    private let engine = TestEngine.cpu(threadCount: 1)

    init() throws { directory = try TemporaryDirectory() }

    /// Writes the tensors of a checkpoint into one file, some of them as another type.
    private func mixed(_ types: (String) -> ElementType) throws -> String {
        let path = try directory.copy(ofCheckpoint: "mistral-float32")
        let tensors = try StoredNumbers.all(in: path).sorted { $0.key < $1.key }.map { name, tensor in
            (name, Tensor(tensor.values, shape: tensor.shape, types(name), on: engine))
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasPrefix("model") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
        try SafetensorsFile.write(tensors, to: "\(path)/model.safetensors")
        return path
    }

    private static let cases: [(String, [String], ElementType)] = [
        ("a merge of query and value", ["q_proj", "v_proj"], .float32), ("gate alone", ["gate_proj"], .float32),
        ("two types of one size", ["k_proj", "up_proj"], .float16),
    ]

    @Test(arguments: cases) func typesThatDifferInsideAFusedParameterComeBack(
        _ name: String,
        _ others: [String],
        _ type: ElementType
    ) throws {
        let path = try mixed { tensor in others.contains { tensor.contains($0) } ? type : .bfloat16 }
        let bridge = try AutoBridge.fromHF(path)
        try bridge.importCheckpoint(
            to: directory.path("m"),
            options: ConversionOptions(layout: RankLayout(tensorSize: 2))
        )
        try AutoBridge.fromMegatron(directory.path("m")).exportCheckpoint(
            from: directory.path("m"),
            to: directory.path("again")
        )
        #expect(try contents(of: directory.path("again")) == contents(of: path))
        // Every number of the file is in the model: nothing was rounded to the narrower type.
        let model = try bridge.toModel(on: engine)
        let names = try bridge.huggingFaceNames()
        let stored = try StoredNumbers.all(in: path)
        for parameter in model.parameters {
            #expect(parameter.tensor.elementType == .float32)
            let expected = try #require(names[parameter.name].flatMap { stored[$0] }, "\(parameter.name)")
            #expect(parameter.tensor.floats() == expected.values, "\(parameter.name)")
        }
    }

    @Test(arguments: ["ministral3-fp8", "ministral3-fp8-block", "ministral3-native-fp8"])
    func aRunThatBeganWithEightBitsIsExportedInSixteen(_ name: String) throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let model = try bridge.toModel(elementType: .bfloat16, on: engine)
        try bridge.save(
            TrainingState(parameters: model.parameters, moments: []),
            to: directory.path("run"),
            iteration: 3,
            files: []
        )
        let report = try AutoBridge.fromMegatron(directory.path("run")).exportCheckpoint(
            from: directory.path("run"),
            to: directory.path("out")
        )
        #expect(report.notes.contains { $0.contains("does not need") })
        let out = try HuggingFaceDirectory(path: directory.path("out"))
        #expect(out.configuration["quantization_config"] == nil)
        #expect(Set(out.tensors.values.map(\.elementType)) == [.bfloat16])
        #expect(!out.tensors.keys.contains { $0.contains("scale") })
        let (one, other) = (try bridge.toModel(elementType: .bfloat16, on: engine), try AutoBridge.fromHF(out.path))
        for (mine, theirs) in zip(one.parameters, try other.toModel(elementType: .bfloat16, on: engine).parameters) {
            #expect(mine.tensor.floats() == theirs.tensor.floats(), "\(mine.name)")
        }
    }

    @Test func rotaryFrequenciesInTheFileDoNotKeepARunFromItsExport() throws {
        let path = try directory.copy(ofCheckpoint: "mistral-single-file")
        let file = "\(path)/model.safetensors"
        var tensors = try StoredNumbers.all(in: path).map { name, tensor in
            (name, Tensor(tensor.values, shape: tensor.shape, .bfloat16, on: engine))
        }
        tensors.append(("model.layers.0.self_attn.rotary_emb.inv_freq", Tensor([1, 0.5], shape: [2], on: engine)))
        try SafetensorsFile.write(tensors.sorted { $0.0 < $1.0 }, to: file)
        let bridge = try AutoBridge.fromHF(path)
        let model = try bridge.toModel(on: engine)
        let state = TrainingState(parameters: model.parameters, moments: [])
        try bridge.save(state, to: directory.path("run"), iteration: 1, files: [])
        try bridge.exportCheckpoint(from: directory.path("run"), to: directory.path("out"))
        #expect(
            try !HuggingFaceDirectory(path: directory.path("out")).tensors.keys.contains { $0.contains("inv_freq") }
        )
    }

    @Test func aMergeDropsAQuantisationThatIsGone() throws {
        let path = try directory.copy(ofCheckpoint: "mistral")
        let file = URL(filePath: "\(path)/config.json")
        var json = try JSON(parsing: Array(Data(contentsOf: file)))
        json.set(["quant_method": "fp8"], at: "quantization_config")
        try Data(json.text()).write(to: file)
        let bridge = try AutoBridge.fromHF(path)
        let model = try bridge.toModel(on: engine)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/mistral-layers", on: model)
        try bridge.exportMerged(adapters, on: model, to: directory.path("out"))
        let out = try JSON(contentsOf: directory.path("out/config.json"))
        #expect(out["quantization_config"] == nil && out["model_type"] == "mistral")
        // What was not changed comes back as it was.
        try bridge.importCheckpoint(to: directory.path("m"))
        try bridge.exportCheckpoint(from: directory.path("m"), to: directory.path("again"))
        #expect(try JSON(contentsOf: directory.path("again/config.json"))["quantization_config"] != nil)
    }

    /// The layout that mlx_lm.convert writes (mlx-lm, utils.py): `quantization` in the configuration, packed weights, scales
    /// and biases.
    @Test(arguments: [#"{"group_size": 64, "bits": 4}"#, #"{"group_size": 32, "bits": 8, "mode": "affine"}"#])
    func weightsThatMLXQuantisedAreNamed(_ settings: String) throws {
        let path = try directory.copy(ofCheckpoint: "mistral")
        var json = try JSON(contentsOf: "\(path)/config.json")
        let settings = try JSON(parsing: Array(settings.utf8))
        json.set(settings, at: "quantization")
        try directory.write(json.text(), to: "source/config.json")
        let tensors = try StoredNumbers.all(in: path).sorted { $0.key < $1.key }.flatMap { name, tensor in
            let stored = (name, Tensor(tensor.values, shape: tensor.shape, on: engine))
            guard name.hasSuffix("_proj.weight") else { return [stored] }
            let base = String(name.dropLast(".weight".count))
            return [stored] + ["scales", "biases"].map { ("\(base).\($0)", Tensor([1, 2], shape: [2], on: engine)) }
        }
        try SafetensorsFile.write(tensors, to: "\(path)/model.safetensors")
        let bridge = try AutoBridge.fromHF(path)
        let bits = try #require(settings["bits"]?.integer)
        for body in [{ _ = try bridge.plan() }, { _ = try bridge.toModel(on: engine) }] {
            let error = #expect(throws: BridgeError.self) { try body() }
            let text = error?.message ?? ""
            #expect(text.contains("MLX (\(bits) bits)") && text.contains("16-bit"), "\(text)")
        }
    }

    @Test(arguments: [
        (
            #"{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}"#, ".absmax",
            "4 bits, nf4"
        ),
        (#"{"quant_method": "gptq", "bits": 4}"#, ".qweight", "gptq (4 bits)"),
        (#"{"quant_method": "awq", "bits": 4}"#, ".qzeros", "awq (4 bits)"),
        (
            #"{"quant_method": "compressed-tensors", "format": "int-quantized"}"#, ".weight_zero_point",
            "compressed-tensors (int-quantized)"
        ),
        ("null", ".SCB", "bitsandbytes"),
    ])
    func weightsInFewerBitsNameTheirScheme(_ settings: String, _ ending: String, _ words: String) throws {
        let path = try directory.copy(ofCheckpoint: "mistral")
        let file = URL(filePath: "\(path)/config.json")
        var json = try JSON(parsing: Array(Data(contentsOf: file)))
        json.set(try JSON(parsing: Array(settings.utf8)), at: "quantization_config")
        try Data(json.text()).write(to: file)
        var tensors = try StoredNumbers.all(in: path).sorted { $0.key < $1.key }.map { name, tensor in
            (name, Tensor(tensor.values, shape: tensor.shape, on: engine))
        }
        let name = "model.layers.0.self_attn.q_proj"
        tensors.removeAll { $0.0 == "\(name).weight" }
        tensors.append((name + ending, Tensor([1, 2], shape: [2], on: engine)))
        try SafetensorsFile.write(tensors, to: "\(path)/model.safetensors")
        let bridge = try AutoBridge.fromHF(path)
        for body in [{ _ = try bridge.plan() }, { _ = try bridge.toModel(on: engine) }] {
            let error = #expect(throws: BridgeError.self) { try body() }
            let text = error?.message ?? ""
            #expect(text.contains(words) && text.contains("16-bit") && text.contains("quant_method"), "\(text)")
        }
    }
}
