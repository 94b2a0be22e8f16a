import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// What `quantization_config` says about weights that are not quantized, and about those that are.
@Suite struct QuantizationConfigTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func model(_ name: String = "mistral", _ key: String = "quantization_config", _ value: JSON) throws
        -> String
    {
        let path = try directory.copy(ofCheckpoint: name)
        var json = try JSON(contentsOf: "\(path)/config.json")
        json.set(value, at: key)
        try directory.write(json.text(), to: "source/config.json")
        return path
    }

    @Test(arguments: ["gptq", "bitsandbytes", "awq", "mxfp4", "hqq"])
    func aMethodThatIsNotReadIsRefusedByNameBesidePlainWeights(_ method: String) throws {
        let path = try model("mistral", "quantization_config", ["quant_method": .string(method), "bits": 4])
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(path) }
        #expect(error?.code == .badConfiguration)
        for words in [method, "supported: fp8", "remove quantization_config"] {
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        }
    }

    @Test func aMegatronCheckpointWithAMethodThatIsNotReadIsRefused() throws {
        let source = try directory.copy(ofCheckpoint: "mistral")
        try AutoBridge.fromHF(source).importCheckpoint(to: directory.path("m"))
        let file = "m/iter_0000000/huggingface/config.json"
        var json = try JSON(contentsOf: directory.path(file))
        json.set(["quant_method": "awq"], at: "quantization_config")
        try directory.write(json.text(), to: file)
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromMegatron(directory.path("m")) }
        #expect(error?.message.contains("awq") == true)
    }

    @Test(arguments: ["fp8", 8, true, ["fp8"]] as [JSON]) func anythingButAnObjectIsATypeError(_ value: JSON) throws {
        let path = try model("mistral", "quantization_config", value)
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(path) }
        #expect(error?.names == ["\(path)/config.json: quantization_config is \(value.kind), expected an object"])
    }

    @Test func aSettingForPlainWeightsIsReported() throws {
        let path = try model("mistral", "quantization_config", ["quant_method": "fp8"])
        let unknown = try AutoBridge.fromHF(path).unknownSettings()
        #expect(
            unknown == [UnknownSettings(file: "config.json", keys: ["quantization_config (no weight is quantized)"])]
        )
        #expect(throws: Never.self) { try AutoBridge.fromHF(path).checkWeights() }
    }

    @Test func unknownKeysOfTheObjectAreReported() throws {
        let path = try model("ministral3-fp8", "quantization_config.novel", 3)
        #expect(
            try AutoBridge.fromHF(path).unknownSettings()
                == [UnknownSettings(file: "config.json", keys: ["quantization_config.novel"])]
        )
    }

    @Test func weightsThatAreRotatedAreRefused() throws {
        let path = try model("ministral3-fp8", "quantization_config.transform_config", ["config_groups": 1])
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(path) }
        #expect(error?.names.first?.contains("quantization_config.transform_config") == true)
    }

    @Test func anotherFormatInAParameterFileIsRefused() throws {
        let path = try directory.copy(ofCheckpoint: "ministral3-native-fp8")
        var json = try JSON(contentsOf: "\(path)/params.json")
        json.set("int4", at: "quantization.qformat_weight")
        try directory.write(json.text(), to: "source/params.json")
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(path) }
        #expect(
            error?.names.first?.contains("quantization.qformat_weight is \"int4\"") == true,
            "\(error?.names ?? [])"
        )
    }

    @Test func editedFilesOfACheckpointAreReported() throws {
        let source = try directory.copy(ofCheckpoint: "mistral")
        try AutoBridge.fromHF(source).importCheckpoint(to: directory.path("m"))
        let told = Told()
        var catalog = try PluginCatalog.standard()
        catalog.accountForEdited = { files, _ in told.files += files }
        _ = try AutoBridge.fromMegatron(directory.path("m"), catalog: catalog)
        #expect(told.files == [])
        let file = "huggingface/config.json"
        var json = try JSON(contentsOf: directory.path("m/iter_0000000/\(file)"))
        json.set(0.0123, at: "initializer_range")
        try directory.write(json.text(), to: "m/iter_0000000/\(file)")
        _ = try AutoBridge.fromMegatron(directory.path("m"), catalog: catalog)
        #expect(told.files == [file])
    }

    @Test func aPatternThatMatchesNothingIsNoted() throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        func notes(_ pattern: String) throws -> [String] {
            try bridge.plan(ConversionOptions(allowMissing: [NameGlob(pattern)])).notes.filter {
                $0.contains("--allow-missing")
            }
        }
        #expect(try notes("*.nowhere").count == 1)
        try bridge.importCheckpoint(to: directory.path("m"))
        let export = try bridge.exportPlan(
            from: directory.path("m"),
            options: ConversionOptions(allowMissing: [NameGlob("*.nowhere")])
        )
        #expect(export.notes.contains { $0.contains("--allow-missing *.nowhere has no effect") })
    }

    /// What a catalog was told.
    private final class Told: @unchecked Sendable {
        var files: [String] = []
    }
}
