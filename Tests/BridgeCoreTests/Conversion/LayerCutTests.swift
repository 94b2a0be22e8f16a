import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Models of the first layers of others.
@Suite struct LayerCutTests {
    @Test(arguments: ["mistral", "ministral3", "gemma3", "ministral3-fp8"])
    func theFirstLayersKeepTheirBytes(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let source = Fixtures.checkpoint(name)
        let bridge = try AutoBridge.fromHF(source)
        let path = directory.path("cut")
        try bridge.exportCheckpoint(bridge.layerCutPlan(layers: 1), to: path, options: ConversionOptions())
        let cut = try AutoBridge.fromHF(path)
        #expect(cut.layerCount == 1 && bridge.layerCount > 1)
        // Every tensor is accounted for, and is that of the source.
        _ = try cut.plan()
        func tensors(_ path: String) throws -> [String: StoredTensor] {
            let files = try FileManager.default.contentsOfDirectory(atPath: path).filter {
                $0.hasSuffix(".safetensors")
            }
            let all = try files.flatMap { try SafetensorsFile(path: "\(path)/\($0)").tensors }
            return Dictionary(all.map { ($0.name, $0) }) { first, _ in first }
        }
        let (own, whole) = (try tensors(path), try tensors(source))
        #expect(own.count < whole.count && !own.isEmpty)
        for (name, tensor) in own {
            let expected = try #require(whole[name])
            let (one, other) = try (
                TensorReader().bytes(of: TensorView(tensor)), TensorReader().bytes(of: TensorView(expected))
            )
            #expect(one == other && tensor.elementType == expected.elementType, "\(name)")
        }
        #expect(!own.keys.contains { $0.contains("layers.1.") && !$0.contains("vision") })
        for file in ["tokenizer.json", "generation_config.json", "chat_template.jinja"]
        where FileManager.default.fileExists(atPath: "\(source)/\(file)") {
            #expect(FileManager.default.contentsEqual(atPath: "\(source)/\(file)", andPath: "\(path)/\(file)"))
        }
        // It runs, with the layer of the source: the hidden states after the first layer are the same.
        let engine = TestEngine.cpu(threadCount: 1)
        let batch = TokenBatch(tokens: [1, 5, 9, 30])
        func states(_ bridge: AutoBridge) throws -> [[Float]] {
            let model = try bridge.toModel(elementType: .float32, on: engine)
            return try model.forward(batch, keepsHiddenStates: true).hiddenStates.prefix(1).map { $0.floats() }
        }
        #expect(try states(cut) == states(bridge))
    }

    @Test func moreLayersThanThereAreAreRefused() throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        for count in [0, bridge.layerCount + 1] {
            let error = #expect(throws: BridgeError.self) { _ = try bridge.layerCutPlan(layers: count) }
            #expect(error?.message.contains("expected 1 to \(bridge.layerCount)") == true)
        }
    }
}
