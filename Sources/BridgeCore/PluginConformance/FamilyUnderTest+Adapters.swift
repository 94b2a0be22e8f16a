import BridgeCore
import TensorRuntime

// The rule of adapters.
extension FamilyUnderTest {
    func adapters() throws -> [ConformanceFinding] {
        let (bridge, batch) = (try autoBridge, TokenBatch(tokens: try tokens(24)))
        for scheme in [Recipe.PEFTSection.Scheme.lora, .dora] {
            let model = try bridge.toModel(elementType: .float32, on: engine)
            var section = Recipe.PEFTSection()
            (section.scheme, section.dim, section.alpha, section.canonical) = (scheme, 4, 6, true)
            let adapters = try AdapterSet(section, on: model, seed: 11)
            Self.move(adapters)
            let (exported, merged) = (path(), path())
            try bridge.exportAdapter(adapters, on: model, to: exported, baseModel: nil)
            try bridge.exportMerged(adapters, on: model, to: merged)
            let findings = try differences(adapters, exported, merged)
            guard findings.isEmpty else { return findings }
            let expected = try model.forward(batch).logits.floats()
            let other = try bridge.toModel(elementType: .float32, on: engine)
            _ = try bridge.importAdapter(from: exported, on: other)
            let (difference, scale) = gap(try other.forward(batch).logits.floats(), expected)
            guard difference <= Self.tolerance * scale else {
                return [
                    ConformanceFinding(
                        "with an adapter of the kind \(scheme.rawValue) that is exported to PEFT's format and imported again the logits "
                            + "differ by \(difference), expected at most \(Self.tolerance) of the largest, \(scale)"
                    )
                ]
            }
        }
        return []
    }

    /// Gives B and the magnitudes values that differ from row to row, as after training.
    private static func move(_ adapters: AdapterSet) {
        for parameter in adapters.parameters where !parameter.name.hasSuffix("linear_in.weight") {
            let isMagnitude = parameter.name.hasSuffix("weight_magnitude")
            let values = parameter.tensor.floats().enumerated().map { index, value in
                let random = Float((index &* 2_654_435_761) % 1009) / 1009
                return isMagnitude ? value * (0.75 + random) : (random - 0.5) / 4
            }
            let tensor = parameter.tensor
            parameter.replace(with: Tensor(values, shape: tensor.shape, tensor.elementType, on: tensor.engine))
        }
    }

    /// The matrices of a merged export that are not those that PEFT computes from the exported adapter and the toy.
    ///
    /// `W + scale B A`, with DoRA each of its rows with the length that the magnitude has; source: `get_delta_weight` in
    /// peft/tuners/lora/layer.py and peft/tuners/lora/dora.py, 0.21.
    private func differences(_ adapters: AdapterSet, _ exported: String, _ merged: String) throws
        -> [ConformanceFinding]
    {
        let modules = try autoBridge.huggingFaceNames()
        let stored = try SafetensorsFile(path: Files.join(exported, "adapter_model.safetensors")).tensors
        let parts = Dictionary(stored.map { ($0.name, $0) }) { first, _ in first }
        let (before, after) = (
            try HuggingFaceDirectory(path: toy).tensors, try HuggingFaceDirectory(path: merged).tensors
        )
        var sources: [String: (name: String, isTransposed: Bool)] = [:]
        for entry in try table.entries {
            for (index, name) in entry.huggingFace.enumerated() {
                sources[entry.pieceName(index)] = (name, entry.mapping.transform is Transposition)
            }
        }
        return try adapters.modules.flatMap(\.layers).compactMap { layer -> ConformanceFinding? in
            guard let adapter = layer.adapter else { return nil }
            let own = layer.weight.name
            guard let source = sources[own], let module = modules[own]?.dropLast(".weight".count),
                let base = before[source.name], let result = after[source.name]
            else {
                return ConformanceFinding("\(own) has an adapter and no Hugging Face tensor", line: try line(of: own))
            }
            func floats(_ tensor: StoredTensor?) throws -> [Float]? {
                try tensor.map { try TensorReader().floats(of: TensorView($0)) }
            }
            func part(_ suffix: String) -> StoredTensor? { parts["base_model.model.\(module).\(suffix)"] }
            func matrix(_ tensor: StoredTensor) throws -> [Float] {
                let view = TensorView(tensor)
                return try TensorReader().floats(of: source.isTransposed ? view.transposed : view)
            }
            guard let down = try floats(part("lora_A.weight")), let up = try floats(part("lora_B.weight")) else {
                return ConformanceFinding("\(module) has no adapter in the export", line: try line(of: own))
            }
            let expected = Self.merged(
                try matrix(base),
                down,
                up,
                rank: adapter.rank,
                scale: Float(adapter.scale),
                magnitude: try floats(part("lora_magnitude_vector"))
            )
            let (difference, scale) = gap(try matrix(result), expected)
            guard difference > Self.tolerance * scale else { return nil }
            return ConformanceFinding(
                "with its adapter in PEFT's format \(source.name) differs from that of a merged export by \(difference), expected at "
                    + "most \(Self.tolerance) of the largest element, \(scale)",
                line: try line(of: own)
            )
        }
    }

    private static func merged(
        _ weight: [Float],
        _ down: [Float],
        _ up: [Float],
        rank: Int,
        scale: Float,
        magnitude: [Float]?
    ) -> [Float] {
        let width = down.count / max(rank, 1)
        var result = weight
        for row in 0..<weight.count / max(width, 1) {
            let range = row * width..<(row + 1) * width
            for column in 0..<width {
                let product = (0..<rank).reduce(Float(0)) { $0 + up[row * rank + $1] * down[$1 * width + column] }
                result[row * width + column] += scale * product
            }
            guard let magnitude else { continue }
            let length = result[range].reduce(Float(0)) { $0 + $1 * $1 }.squareRoot()
            for index in range { result[index] *= magnitude[row] / length }
        }
        return result
    }
}
