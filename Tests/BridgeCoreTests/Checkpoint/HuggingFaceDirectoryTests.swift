import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Which files of a directory are read: `_get_resolved_checkpoint_files` in modeling_utils.py, transformers 5.23.
@Suite struct HuggingFaceDirectoryTests {
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = try directory.copy(ofCheckpoint: "mistral")
    }

    /// Writes every tensor of the directory, twice as large, into a single file.
    private func writeSingleFile() throws {
        let engine = TestEngine.cpu(threadCount: 1)
        let tensors = try StoredNumbers.all(in: path).sorted { $0.key < $1.key }.map { name, tensor in
            (name, Tensor(tensor.values.map { $0 * 2 }, shape: tensor.shape, on: engine))
        }
        try SafetensorsFile.write(tensors, to: "\(path)/model.safetensors")
    }

    private func remove(_ suffix: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasSuffix(suffix) {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
    }

    @Test func aSingleFileGoesBeforeOldShardsAndTheirIndex() throws {
        try writeSingleFile()
        let found = try HuggingFaceDirectory(path: path)
        #expect(found.shards.map(\.name) == ["model.safetensors"] && found.indexName == nil)
        #expect(found.leftOut.contains("model.safetensors.index.json"))
        let notes = try AutoBridge.fromHF(path).plan().notes
        #expect(notes.contains { $0.contains("model-00001-of-00003.safetensors is not part of the model") })
    }

    @Test func aSingleFileWithTheIndexOfRemovedShardsIsAModel() throws {
        try writeSingleFile()
        try remove("of-00003.safetensors")
        #expect(try HuggingFaceDirectory(path: path).shards.count == 1)
        // The index is not carried along, since it is of other files.
        #expect(try !HuggingFaceDirectory(path: path).sideFiles.contains("model.safetensors.index.json"))
    }

    @Test func anIndexOfTheSingleFileComesBack() throws {
        try writeSingleFile()
        try remove("of-00003.safetensors")
        let names = try HuggingFaceDirectory(path: path).tensors.keys.sorted()
        var index: JSON = ["metadata": [:], "weight_map": [:]]
        for name in names {
            var map = index["weight_map"]?.object ?? JSONObject()
            map[name] = "model.safetensors"
            index.set(.object(map), at: "weight_map")
        }
        try Data(index.text()).write(to: URL(filePath: "\(path)/model.safetensors.index.json"))
        let found = try HuggingFaceDirectory(path: path)
        #expect(found.indexName == "model.safetensors.index.json")
        let bridge = try AutoBridge.fromHF(path)
        try bridge.importCheckpoint(to: directory.path("m"))
        try AutoBridge.fromMegatron(directory.path("m")).exportCheckpoint(
            from: directory.path("m"),
            to: directory.path("again")
        )
        #expect(try contents(of: directory.path("again")) == contents(of: path))
    }

    private func message(_ path: String) -> String {
        do {
            _ = try AutoBridge.fromHF(path)
            return "no error"
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }

    @Test func theErrorForAnAdapterDirectoryNamesTheOptionAndTheBase() throws {
        let text = message("\(Fixtures.root)/adapters/mistral-head")
        #expect(text.contains("--adapter") && text.contains("toys/mistral"), "\(text)")
        let processing = #expect(throws: BridgeError.self) {
            _ = try AutoBridge.forProcessing("\(Fixtures.root)/adapters/mistral-head")
        }
        #expect(processing?.message.contains("--adapter") ?? false)
        let plain = directory.path("lora")
        try FileManager.default.createDirectory(atPath: plain, withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: "\(plain)/lora.safetensors"))
        #expect(message(plain).contains("--adapter"))
    }

    /// transformers would load the adapter on its base model, whatever model is beside it (`find_adapter_config_file`).
    @Test func aDirectoryWithAModelAndAnAdapterAsksWhichIsMeant() throws {
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            try FileManager.default.copyItem(
                atPath: "\(Fixtures.root)/adapters/mistral-head/\(name)",
                toPath: "\(path)/\(name)"
            )
        }
        let text = message(path)
        #expect(text.contains("a model and an adapter") && text.contains("--adapter \(path)"), "\(text)")
        try FileManager.default.removeItem(atPath: "\(path)/adapter_model.safetensors")
        #expect(message(path) == "no error")
    }

    @Test func aVariantAloneIsNamed() throws {
        try writeSingleFile()
        try remove("of-00003.safetensors")
        try remove(".index.json")
        try FileManager.default.moveItem(
            atPath: "\(path)/model.safetensors",
            toPath: "\(path)/model.fp16.safetensors"
        )
        #expect(message(path).contains("model.fp16.safetensors"))
    }

    @Test func metadataMayBeNull() throws {
        let file = directory.path("null.safetensors")
        let header = #"{"__metadata__":null,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}}"#
        var bytes = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        bytes += Data(header.utf8) + Data(count: 4)
        try bytes.write(to: URL(filePath: file))
        let found = try SafetensorsFile(path: file)
        #expect(found.tensors.map(\.name) == ["a"] && found.header.metadata.isEmpty)
    }

    @Test(arguments: ["{}", "null", "[]"]) func aConfigurationWithoutArchitecturesGoesByItsModelType(_ value: String)
        throws
    {
        let file = URL(filePath: "\(path)/config.json")
        var json = try JSON(parsing: Array(Data(contentsOf: file)))
        json.set(value == "{}" ? nil : try JSON(parsing: Array(value.utf8)), at: "architectures")
        try Data(json.text()).write(to: file)
        #expect(try AutoBridge.fromHF(path).architecture == "MistralForCausalLM")
        json.set("nonesuch", at: "model_type")
        try Data(json.text()).write(to: file)
        let text = message(path)
        #expect(text.contains("nonesuch") && text.contains("MistralForCausalLM"), "\(text)")
    }
}
