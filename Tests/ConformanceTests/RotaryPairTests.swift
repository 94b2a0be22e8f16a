import BridgeCore
import Foundation
import PluginConformance
import TensorRuntime
import TestSupport
import Testing

/// A family whose files have neighbouring rotary pairs, with adapters and gradients of peft and torch.
///
/// The files are those of the fixture `mistral` with the rows of query and key moved, by which such a model computes the
/// same; what peft and torch computed for the fixture is therefore what is expected.
@Suite struct RotaryPairTests {
    private static let engine = TestEngine.cpu(threadCount: 1)
    private static let headWidth = 10

    private let scratch: TemporaryDirectory
    private let bridge: AutoBridge
    private let reference: Reference

    init() throws {
        scratch = try TemporaryDirectory()
        reference = try Reference("mistral", in: "training")
        try Self.move(Fixtures.checkpoint("mistral"), to: scratch.path("model"), weights: "model.safetensors")
        bridge = try AutoBridge.fromHF(
            scratch.path("model"),
            catalog: PluginCatalog(linked: [MutatedPlugin(mutation: .movedRotaryPairs)])
        )
    }

    /// The rows of a matrix [rows, width] with neighbouring pairs from one whose pairs are half a head apart.
    private static func paired(_ values: [Float], width: Int) -> [Float] {
        (0..<values.count / width).flatMap { row in
            let (head, place) = (row / headWidth * headWidth, row % headWidth)
            let source = head + place / 2 + (place % 2 == 0 ? 0 : headWidth / 2)
            return values[source * width..<(source + 1) * width]
        }
    }

    private static func hasPairs(_ name: String) -> Bool {
        (name.contains("q_proj") || name.contains("k_proj")) && !name.contains("lora_A")
    }

    private static func tensors(_ directory: String) throws -> [StoredTensor] {
        try Files.list(directory).filter { $0.hasSuffix(".safetensors") }.sorted().flatMap {
            try SafetensorsFile(path: "\(directory)/\($0)").tensors
        }
    }

    private static func floats(_ tensor: StoredTensor) throws -> [Float] {
        try TensorReader().floats(of: TensorView(tensor))
    }

    /// Copies a model or an adapter with the rows of query and key moved.
    private static func move(_ source: String, to directory: String, weights: String) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let moved = try tensors(source).map { tensor in
            let values = try floats(tensor)
            let result = hasPairs(tensor.name) ? paired(values, width: tensor.width) : values
            return (tensor.name, Tensor(result, shape: tensor.shape, on: engine))
        }
        try SafetensorsFile.write(moved, to: "\(directory)/\(weights)")
        for name in try Files.list(source) where name.hasSuffix(".json") && !name.contains("safetensors") {
            try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: "\(directory)/\(name)")
        }
    }

    private func expect(_ model: any CausalModel, _ key: String, _ what: Comment) throws {
        let batch = try TokenBatch(inputs: reference.path, prefix: "image.", on: Self.engine)
        let (difference, scale) = gap(try model.forward(batch).logits.floats(), try reference.floats(key))
        #expect(difference <= 1e-4 * scale, what)
    }

    private func model() throws -> any CausalModel { try bridge.toModel(elementType: .float32, on: Self.engine) }

    @Test(arguments: ["lora", "dora"]) func adaptersHaveTheLogitsOfPEFTWhateverTheyAreStoredAs(_ scheme: String) throws
    {
        let source = "\(Fixtures.root)/training/mistral-\(scheme)"
        try Self.move(source, to: scratch.path("adapter"), weights: "adapter_model.safetensors")
        let adapted = try model()
        let adapters = try bridge.loadAdapters(from: scratch.path("adapter"), on: adapted)
        try expect(adapted, "\(scheme).logits", "as PEFT stores it")
        try bridge.exportAdapter(adapters, on: adapted, to: scratch.path("exported"), baseModel: nil)
        let expected = try Self.tensors(scratch.path("adapter")).map { ($0.name, try Self.floats($0)) }.sorted {
            $0.0 < $1.0
        }
        let found = try Self.tensors(scratch.path("exported")).map { ($0.name, try Self.floats($0)) }.sorted {
            $0.0 < $1.0
        }
        #expect(found.map(\.0) == expected.map(\.0) && found.count > 20)
        for (one, other) in zip(found, expected) { #expect(one.1 == other.1, "\(one.0)") }
        let state = TrainingState(parameters: adapters.parameters, adapters: adapters, moments: [])
        try bridge.save(state, to: scratch.path("native"), iteration: 0, files: [])
        let other = try model()
        _ = try bridge.loadAdapters(from: scratch.path("native"), on: other)
        try expect(other, "\(scheme).logits", "as a checkpoint")
        try bridge.exportMerged(adapters, on: adapted, to: scratch.path("merged"))
        let merged = try AutoBridge.fromHF(scratch.path("merged"), catalog: bridge.catalog)
        try expect(merged.toModel(elementType: .float32, on: Self.engine), "\(scheme).logits", "merged")
    }

    /// PiSSA takes A and B from the weight, whose rows have another order here.
    @Test(arguments: ["mistral-pissa", "mistral-olora"]) func adaptersThatStartFromTheWeightsHaveTheLogitsOfPEFT(
        _ name: String
    ) throws {
        let adapters = try Reference("adapters", in: "adapters")
        try Self.move("\(Fixtures.root)/adapters/\(name)", to: scratch.path(name), weights: "adapter_model.safetensors")
        let adapted = try model()
        _ = try bridge.loadAdapters(from: scratch.path(name), on: adapted)
        let batch = try TokenBatch(inputs: adapters.path, prefix: "mistral.", on: Self.engine)
        let (difference, scale) = gap(try adapted.forward(batch).logits.floats(), try adapters.floats("\(name).logits"))
        #expect(difference <= 1e-4 * scale)
    }

    @Test func gradientsHaveTheRowsOfTheFiles() throws {
        let model = try model()
        model.freeze(languageModel: false, visionModel: false, visionProjection: false)
        let batch = try TokenBatch(inputs: reference.path, prefix: "image.", on: Self.engine)
        let labels = try reference.integers("image.labels")
        let targets = labels.dropFirst().map { $0 >= 0 ? Int32($0) : -1 } + [-1]
        let loss = try model.loss(batch, targets: targets, weight: 1 / Float(targets.count { $0 >= 0 }))
        let gradients = Gradients(of: loss)
        let found = try bridge.inHuggingFace(
            model.parameters.compactMap { parameter in gradients[parameter.tensor].map { (parameter.name, $0) } }
        )
        var compared = 0
        for (name, gradient) in found {
            let expected = try reference.floats("image.gradient.\(name)").map(Double.init)
            var values = gradient.floats()
            if Self.hasPairs(name) { values = Self.separated(values, width: gradient.shape[1]) }
            for (one, other) in zip(GradientWaves.of(values.map(Double.init)), expected) {
                #expect(abs(one - other) <= 1e-4 * expected[0] + 1e-9, "\(name)")
            }
            compared += 1
        }
        #expect(compared == reference.keys.count { $0.hasPrefix("image.gradient.") })
    }

    /// The inverse of `paired`, row by row.
    private static func separated(_ values: [Float], width: Int) -> [Float] {
        var result = values
        for row in 0..<values.count / width {
            let (head, place) = (row / headWidth * headWidth, row % headWidth)
            let target = head + place / 2 + (place % 2 == 0 ? 0 : headWidth / 2)
            for column in 0..<width { result[target * width + column] = values[row * width + column] }
        }
        return result
    }
}
