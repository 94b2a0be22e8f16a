import BridgeCore
import TensorRuntime

// The rules of the parameter table that need no weights.
extension FamilyUnderTest {
    func wildcards() throws -> [ConformanceFinding] {
        let layers = try provider.decoder.numLayers
        return try table.mappings.enumerated().flatMap { index, mapping -> [ConformanceFinding] in
            let line = line(index, of: mapping)
            func finding(_ message: String) -> ConformanceFinding { ConformanceFinding(message, line: line) }
            var findings: [ConformanceFinding] = []
            let stars = mapping.megatron.wildcardCount
            for name in mapping.huggingFace
            where name.wildcardCount != stars || name.holdsPath != mapping.megatron.holdsPath {
                findings.append(finding("\(name) has other wildcards than \(mapping.megatron); give both the same"))
            }
            if mapping.huggingFace.isEmpty { findings.append(finding("the line names no tensor")) }
            if mapping.megatron.holdsPath {
                if mapping.paths.isEmpty { findings.append(finding("the line has ** and lists no paths")) }
            } else if mapping.shapes.count != mapping.huggingFace.count {
                findings.append(
                    finding("the line has \(mapping.huggingFace.count) tensors and \(mapping.shapes.count) shapes")
                )
            }
            if mapping.stage == .layer, mapping.repetitions != layers {
                findings.append(
                    finding(
                        "the line is for \(mapping.repetitions) layers, the configuration has \(layers); put it into "
                            + "Layers(numLayers)"
                    )
                )
            }
            if mapping.stage == .layer || mapping.repetitions > 1, stars != 1 {
                findings.append(
                    finding("the line is for several layers, and its names have \(stars) wildcards, expected 1")
                )
            }
            return findings
        }
    }

    func names() throws -> [ConformanceFinding] {
        let mappings = try table.mappings
        var findings: [ConformanceFinding] = []
        var parameters: [String: String] = [:]
        var tensors: [String: String] = [:]
        for (index, mapping) in mappings.enumerated() {
            let line = line(index, of: mapping)
            for entry in ParameterTable(mappings: [mapping]).entries {
                if let other = parameters.updateValue(line, forKey: entry.megatron) {
                    findings.append(
                        ConformanceFinding(
                            "\(entry.megatron) is also the parameter of: \(other); remove one",
                            line: line
                        )
                    )
                }
                guard entry.mapping.sharedWith == nil else { continue }
                for name in entry.huggingFace {
                    guard let other = tensors.updateValue(line, forKey: name) else { continue }
                    findings.append(
                        ConformanceFinding("the tensor \(name) is also in: \(other); remove one", line: line)
                    )
                }
            }
        }
        for (index, mapping) in mappings.enumerated() {
            guard let other = mapping.sharedWith, parameters[other] == nil else { continue }
            findings.append(
                ConformanceFinding("it shares \(other), which is not in the table", line: line(index, of: mapping))
            )
        }
        // One violation for a line, not one for each layer.
        var seen: Set<String> = []
        return findings.filter { seen.insert($0.line ?? $0.message).inserted }
    }

    /// The lines of the language model whose shapes are those of one model, whatever the sizes of the configuration are.
    func shapes() throws -> [ConformanceFinding] {
        let own = try provider
        var other = own
        for size in [
            \DecoderConfiguration.hiddenSize, \.ffnHiddenSize, \.numAttentionHeads, \.numQueryGroups, \.kvChannels,
            \.vocabSize,
        ] { other.decoder[keyPath: size] *= 2 }
        let (mappings, others) = (
            try table.mappings, bridge.parameters(of: other, style: .transformers).mappings
        )
        return zip(mappings, others).enumerated().flatMap { index, pair -> [ConformanceFinding] in
            let (mapping, changed) = pair
            // Towers have sizes of their own.
            guard mapping.stage != .first || mapping.split == .vocabulary, !mapping.megatron.holdsPath else {
                return []
            }
            let fixed = zip(mapping.shapes, changed.shapes).first { $0 == $1 && $0.contains { $0 > 1 } }
            return fixed.map { shape, _ in
                [
                    ConformanceFinding(
                        "the shape \(shape) is the same in a model with other sizes; write it with the sizes of the configuration, such "
                            + "as decoder.hiddenSize",
                        line: line(index, of: mapping)
                    )
                ]
            } ?? []
        }
    }

    func transforms() throws -> [ConformanceFinding] {
        try table.mappings.enumerated().flatMap { index, mapping -> [ConformanceFinding] in
            guard let entry = ParameterTable(mappings: [mapping]).entries.first else { return [] }
            let problem = try problem(of: mapping.transform, shapes: entry.shapes)
            return problem.map { [ConformanceFinding($0, line: line(index, of: mapping))] } ?? []
        }
    }

    /// Why a transform is not a rearrangement with an inverse; nil when it is.
    private func problem(of transform: any ParameterTransform, shapes: [[Int]]) throws -> String? {
        var start: Int32 = 0
        let tensors = shapes.map { shape -> TensorView in
            let count = Int32(shape.reduce(1, *))
            defer { start += count }
            return Self.numbered(shape, from: start)
        }
        let parameter = transform.toMegatron(tensors)
        let numbers = try Self.numbers(parameter)
        guard numbers.sorted().elementsEqual(0..<start) else {
            let kept = Set(numbers).intersection(0..<start).count
            return "the parameter has \(kept) of the \(start) elements of its tensors; each has to be in it once"
        }
        let back = transform.toHuggingFace(parameter)
        guard back.count == tensors.count else {
            return "toHuggingFace gives \(back.count) tensors, expected \(tensors.count)"
        }
        for (index, (found, expected)) in zip(back, tensors).enumerated() {
            guard found.shape == expected.shape else {
                return "toHuggingFace gives tensor \(index + 1) the shape \(found.shape), expected \(expected.shape)"
            }
            guard try Self.numbers(found) == Self.numbers(expected) else {
                return
                    "toHuggingFace is not the inverse of toMegatron: tensor \(index + 1) has its elements in another order"
            }
        }
        let again = transform.fromLayers(transform.toLayers(parameter))
        guard again.shape == parameter.shape, try Self.numbers(again) == numbers else {
            return "fromLayers is not the inverse of toLayers"
        }
        return nil
    }

    /// A tensor of consecutive numbers, int32.
    private static func numbered(_ shape: [Int], from start: Int32) -> TensorView {
        let count = Int32(shape.reduce(1, *))
        let bytes = (start..<start + count).flatMap { number in withUnsafeBytes(of: number) { Array($0) } }
        return TensorView(
            StoredTensor(
                name: "numbers",
                elementType: .int32,
                shape: shape,
                storage: MemoryStorage(name: "numbers", bytes: bytes),
                offset: 0
            )
        )
    }

    private static func numbers(_ view: TensorView) throws -> [Int32] {
        try TensorReader().bytes(of: view).withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    }
}
