import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Every number of every fixture's configuration, changed to what nobody expects: a plan or an error, never a trap.
@Suite struct ConfigurationMutationTests {

    /// One fixture of each kind gets all values, the others the largest number.
    static let thorough = ["mistral", "mistral-native", "ministral3", "gemma3-5x"]

    /// What a number is changed to; nil takes the key away.
    static func values(for fixture: String) -> [JSON?] {
        let largest: JSON = .number(JSONNumber(Int.max))
        return thorough.contains(fixture)
            ? [largest, .number(JSONNumber(1 << 28)), 0, -1, 3, 0.5, nil, .null, "8"] : [largest]
    }

    @Test(arguments: try Fixtures.all) func aChangedNumberPlansOrThrows(_ name: String) throws {
        let scratch = try TemporaryDirectory()
        let source = URL(filePath: Fixtures.checkpoint(name))
        for file in try FileManager.default.contentsOfDirectory(atPath: source.path) {
            try FileManager.default.createSymbolicLink(
                at: scratch.url(file),
                withDestinationURL: source.appendingPathComponent(file)
            )
        }
        let catalog = try PluginCatalog.standard()
        for file in ["config.json", "params.json"] {
            guard let bytes = try? Data(contentsOf: source.appendingPathComponent(file)) else { continue }
            let original = try JSON(parsing: Array(bytes))
            for path in Self.numbers(in: original, below: "") {
                for value in Self.values(for: name) {
                    var json = original
                    json.set(value, at: path)
                    try FileManager.default.removeItem(at: scratch.url(file))
                    try Data(json.text()).write(to: scratch.url(file))
                    do {
                        let bridge = try AutoBridge.fromHF(scratch.path, catalog: catalog)
                        _ = try bridge.plan(ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2)))
                    } catch {
                        #expect(
                            error is BridgeError,
                            "\(name)/\(file) with \(path) = \(String(describing: value)): \(error)"
                        )
                    }
                }
            }
            try FileManager.default.removeItem(at: scratch.url(file))
            try bytes.write(to: scratch.url(file))
        }
    }

    @Test func aVisionHeadOfOneElementIsRefused() throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("ministral3-native", to: scratch.url("model"))
        // Rotary pairs of half a head would be none.
        try Models.edit(model.appendingPathComponent("params.json")) { json in
            json.set(json[path: "vision_encoder.hidden_size"], at: "vision_encoder.num_attention_heads")
        }
        let outcome = try BridgeProcess.run("inspect", model.path)
        expect(outcome, failsWith: 1, mentioning: "params.json", "not an even multiple of num_attention_heads")
    }

    @Test(arguments: ["int64", "bool", "float8_e4m3fn"])
    func quantisedWeightsOfAModelWithAnotherTypeAreStillNumbers(_ type: String) throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("ministral3-fp8", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("config.json")) { $0.set(JSON.string(type), at: "dtype") }
        let outcome = try BridgeProcess.run("verify", model.path, model.path)
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    /// The key paths of all numbers.
    private static func numbers(in json: JSON, below path: String) -> [String] {
        switch json {
        case .number: [path]
        case .object(let members):
            members.flatMap { numbers(in: $0.value, below: path.isEmpty ? $0.key : "\(path).\($0.key)") }
        default: []
        }
    }
}
