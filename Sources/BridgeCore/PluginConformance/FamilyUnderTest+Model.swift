import BridgeCore
import Communication
import Imaging
import TensorRuntime

// The rules of the model on one rank.
extension FamilyUnderTest {
    func weights() throws -> [ConformanceFinding] {
        let model = try model
        let read = Set(model.parameters.map { Self.whole($0.name) })
        let isTied = model.decoder.isTied
        return try shapes(of: model.decoder)
            + table.mappings.enumerated().compactMap { index, mapping in
                if isTied, mapping.isOutputLayer { return nil }
                let names = ParameterTable(mappings: [mapping]).entries.map(\.megatron)
                guard let unread = names.first(where: { !read.contains($0) }) else { return nil }
                return ConformanceFinding(
                    "\(unread) is not a parameter of the model, so training would lose it; read it in the model, or remove the line",
                    line: line(index, of: mapping)
                )
            }
    }

    /// The matrices of the layers that do not have the shape with which the decoder computes.
    private func shapes(of decoder: TransformerDecoder) throws -> [ConformanceFinding] {
        let sizes = decoder.configuration
        let (hidden, ffn, vocabulary) = (sizes.hiddenSize, sizes.ffnHiddenSize, sizes.vocabSize)
        let (query, key) = (sizes.numAttentionHeads * sizes.kvChannels, sizes.numQueryGroups * sizes.kvChannels)
        var found: [(Parameter, [Int])] = [
            (decoder.embedding, [vocabulary, hidden]), (decoder.output.weight, [vocabulary, hidden]),
            (decoder.finalNorm.weight, [hidden]),
        ]
        for layer in decoder.layers {
            found += zip(layer.projections, [query, key, key]).map { ($0.weight, [$1, hidden]) }
            found += zip(layer.projections, [query, key, key]).compactMap { linear, height in
                linear.bias.map { ($0, [height]) }
            }
            found += layer.gateAndUp.map { ($0.weight, [ffn, hidden]) }
            found += [(layer.attentionOutput.weight, [hidden, query]), (layer.down.weight, [hidden, ffn])]
        }
        var seen: Set<String> = []
        return try found.compactMap { parameter, shape in
            guard parameter.tensor.shape != shape else { return nil }
            let line = try line(of: parameter.name)
            guard seen.insert(line ?? parameter.name).inserted else { return nil }
            return ConformanceFinding(
                "\(parameter.name) has the shape \(parameter.tensor.shape) in the model, which computes with \(shape); correct the "
                    + "shapes or the transform of the line",
                line: line
            )
        }
    }

    /// A parameter's name without the number of its part.
    static func whole(_ name: String) -> String { String(name.prefix { $0 != "[" }) }

    func splits() throws -> [ConformanceFinding] {
        let (model, mappings) = (try model, try table.mappings)
        let decoder = model.decoder
        let groups = decoder.configuration.numQueryGroups
        var expected: [String: (split: SplitRule, stage: ParameterMapping.Stage, role: String)] = [:]
        func expect(_ parameters: [Parameter?], _ split: SplitRule, _ stage: ParameterMapping.Stage, _ role: String) {
            for case let parameter? in parameters {
                let name = Self.whole(parameter.name)
                if expected[name] == nil { expected[name] = (split, stage, role) }
            }
        }
        expect([decoder.embedding], .vocabulary, .first, "word embeddings")
        if !decoder.isTied { expect([decoder.output.weight], .vocabulary, .last, "output layer") }
        expect([decoder.finalNorm.weight], .replicated, .last, "final norm")
        for layer in decoder.layers {
            let projections = layer.projections
            expect(
                projections.flatMap { [$0.weight, $0.bias] },
                .column,
                .layer,
                "projections of query, key and value"
            )
            expect(
                layer.gateAndUp.flatMap { [$0.weight, $0.bias] },
                .gatedColumn,
                .layer,
                "projections of gate and up"
            )
            expect(
                [layer.attentionOutput.weight, layer.down.weight],
                .row,
                .layer,
                "projection back to the hidden size"
            )
            expect(layer.parameters, .replicated, .layer, "vector")
        }
        return mappings.enumerated().compactMap { index, mapping in
            let name = ParameterTable(mappings: [mapping]).entries.first?.megatron ?? ""
            guard let rule = expected[name] else { return nil }
            var problems: [String] = []
            if mapping.split != rule.split {
                problems.append("the split \(mapping.split.rawValue), expected \(rule.split.rawValue)")
            }
            if mapping.stage != rule.stage {
                problems.append("the stage \(mapping.stage.rawValue), expected \(rule.stage.rawValue)")
            }
            if rule.split == .column, mapping.parts != groups {
                let parts = mapping.parts.map { "\($0)" } ?? "no"
                problems.append("\(parts) parts that are not divided, expected the \(groups) KV groups")
            }
            guard !problems.isEmpty else { return nil }
            return ConformanceFinding(
                "the \(rule.role) has \(problems.joined(separator: " and "))",
                line: line(index, of: mapping)
            )
        }
    }

    func initialValues() throws -> [ConformanceFinding] {
        let model = try model
        let offset = model.decoder.finalNorm.form.gainOffset
        let vectors = model.decoder.parameters.filter { $0.tensor.rank == 1 }
        var findings: [ConformanceFinding] = []
        var seen: Set<String> = []
        for parameter in vectors {
            let name = Self.whole(parameter.name)
            guard let line = try line(of: name), seen.insert(line).inserted else { continue }
            let isBias = name.hasSuffix("bias")
            let (neutral, found) = (isBias ? 0 : 1 - offset, bridge.initialValue(ofVector: name))
            let why =
                isBias ? "a bias is added" : "the norm multiplies by the weight\(offset == 0 ? "" : " + \(offset)")"
            if found != neutral {
                findings.append(
                    ConformanceFinding(
                        "\(why), so that its initial value has to be \(neutral), but initialValue(ofVector:) is \(found)",
                        line: line
                    )
                )
            }
            let values = parameter.tensor.floats()
            let mean = values.reduce(0, +) / Float(max(values.count, 1))
            // Toys have values near those of trained models, and a norm with an offset too many has twice the mean.
            if !isBias, abs(mean - neutral) > 0.5 {
                findings.append(
                    ConformanceFinding(
                        "\(why), so that weights are near \(neutral), but those of the toy have the mean \(mean); correct the "
                            + "norm's gainOffset, or the values of the toy recipe",
                        line: line
                    )
                )
            }
        }
        return findings
    }

    func freezing() throws -> [ConformanceFinding] {
        let model = try model
        defer { model.freeze(languageModel: true, visionModel: true, visionProjection: true) }
        var findings: [ConformanceFinding] = []
        let unused = Set((model.vision?.unusedParameters ?? []).map(\.name))
        var homes: [String: String] = [:]
        for (part, parameters) in model.parts {
            for parameter in parameters {
                guard let other = homes.updateValue(part, forKey: parameter.name), other != part else { continue }
                findings.append(
                    ConformanceFinding(
                        "\(parameter.name) is in \(other) and in \(part), so that freezing one of them does not freeze it",
                        line: try line(of: parameter.name)
                    )
                )
            }
        }
        for (part, parameters) in model.parts {
            model.freeze(
                languageModel: part != "language_model",
                visionModel: part != "vision_tower",
                visionProjection: part != "multi_modal_projector"
            )
            let trained = Set(model.parameters.filter(\.isTrainable).map(\.name))
            for name in trained.symmetricDifference(parameters.map(\.name)).sorted().prefix(1) {
                let what =
                    trained.contains(name) ? "trained while only \(part) is not frozen" : "frozen with \(part) trained"
                findings.append(ConformanceFinding("\(name) is \(what)", line: try line(of: name)))
            }
        }
        let parts = Set(model.parts.flatMap(\.parameters).map(\.name))
        for parameter in model.parameters where !parts.contains(parameter.name) && !unused.contains(parameter.name) {
            findings.append(
                ConformanceFinding(
                    "\(parameter.name) is in no part of the model; put it into one, or into unusedParameters",
                    line: try line(of: parameter.name)
                )
            )
        }
        return findings
    }

    func decoding() throws -> [ConformanceFinding] {
        let model = try model
        let tokens = try tokens(40)
        let whole = try model.forward(TokenBatch(tokens: tokens)).logits
        let (width, expected) = (whole.shape[2], whole.floats())
        let cache = model.makeCache(capacity: 4)
        var start = 0
        for length in [7] + [Int](repeating: 1, count: tokens.count - 7) {
            let part = TokenBatch(tokens: Array(tokens[start..<start + length]), start: start)
            let found = try model.forward(part, cache: cache).logits.floats()
            let rows = Array(expected[start * width..<(start + length) * width])
            let (difference, scale) = gap(found, rows)
            guard difference <= Self.tolerance * scale else {
                return [
                    ConformanceFinding(
                        "at token \(start + length) the logits of cached decoding differ from those of one pass by \(difference), "
                            + "expected at most \(Self.tolerance) of the largest, \(scale); windows, positions and query scales "
                            + "have to depend on the position in the sequence, not in the batch"
                    )
                ]
            }
            start += length
        }
        return []
    }

    /// The allowed difference between two orders of computation in float32, relative to the largest logit.
    static var tolerance: Float { 1e-4 }

    func ranks(tensorSize: Int = 1, pipelineSize: Int = 1) throws -> [ConformanceFinding] {
        let tokens = try tokens(40)
        let expected = try model.forward(TokenBatch(tokens: tokens)).logits.floats()
        let (toy, catalog, engine) = (try toy, catalog, engine)
        let found: [[Float]]
        do {
            found = try ThreadWorld.run(tensorSize * pipelineSize) { world in
                var provider = try AutoBridge.fromHF(toy, catalog: catalog).toMegatronProvider()
                provider.tensorModelParallelSize = tensorSize
                provider.pipelineModelParallelSize = pipelineSize
                let part = try provider.provideDistributedModel(in: world, elementType: .float32, on: engine)
                try provider.bridge.loadWeights(into: part)
                return try part.forward(TokenBatch(tokens: tokens)).logits.floats()
            }
        } catch let error as BridgeError where error.code == .badLayout {
            throw SkippedRule(reason: "the tiny toy cannot be divided so: \(error.message) \(Self.listed(error.names))")
        }
        return found.enumerated().compactMap { rank, logits in
            let (difference, scale) = gap(logits, expected)
            guard difference > Self.tolerance * scale else { return nil }
            return ConformanceFinding(
                "rank \(rank) of TP \(tensorSize) PP \(pipelineSize) has logits that differ from those of one rank by "
                    + "\(difference), expected at most \(Self.tolerance) of the largest, \(scale)"
            )
        }
    }

    func gradients() throws -> [ConformanceFinding] {
        let model = try model
        defer { model.freeze(languageModel: true, visionModel: true, visionProjection: true) }
        model.freeze(languageModel: false, visionModel: false, visionProjection: false)
        var trained = model.parts.flatMap(\.parameters)
        var batch = TokenBatch(tokens: try tokens(24))
        if let image = try imageBatch() { batch = image } else { trained = model.decoder.parameters }
        let accumulators = trained.map { ($0, $0.accumulateGradients()) }
        let image = model.imageTokenID.map { Int32($0) }
        let targets = batch.tokens.dropFirst().map { $0 == image ? -1 : $0 } + [-1]
        let loss = try model.loss(batch, targets: targets, weight: 1 / Float(max(1, targets.count { $0 >= 0 })))
        guard loss.item.isFinite else { return [ConformanceFinding("the loss of the toy is \(loss.item)")] }
        loss.backward()
        var seen: Set<String> = []
        return try accumulators.compactMap { parameter, accumulator in
            let values = accumulator.isEmpty ? [] : accumulator.sum.floats()
            let problem: String? =
                if values.isEmpty {
                    "has no gradient: nothing that the loss depends on is computed with it"
                } else if !values.allSatisfy(\.isFinite) {
                    "has a gradient that is not finite"
                } else if values.allSatisfy({ $0 == 0 }) {
                    "has a gradient of zeros: the loss does not depend on it"
                } else {
                    nil
                }
            guard let problem else { return nil }
            let line = try line(of: parameter.name)
            guard seen.insert(line ?? parameter.name).inserted else { return nil }
            return ConformanceFinding("\(parameter.name) \(problem)", line: line)
        }
    }

    /// Text with one image; nil for a family that reads text only.
    private func imageBatch() throws -> TokenBatch? {
        let model = try model
        guard model.vision != nil, let token = model.imageTokenID else { return nil }
        let (width, height) = (90, 60)
        let bytes = (0..<width * height * 3).map { UInt8(truncatingIfNeeded: $0 * 37 + $0 / 97) }
        let image = try Image(width: width, height: height, channels: 3, bytes: bytes)
        let prepared = try autoBridge.processor().prepared(image, options: ProcessingOptions())
        let (before, after) = (try tokens(5), try tokens(17).suffix(12))
        return TokenBatch(
            tokens: before + [Int32](repeating: Int32(token), count: prepared.featureCount) + after,
            images: prepared.passes.map { Tensor($0.values, shape: [3, $0.height, $0.width], on: engine) }
        )
    }
}
