/// The lines of a parameter table for the names of a checkpoint's tensors.
struct ParameterDraft {
    private(set) var lines: [String] = []
    /// The lines that change the architecture of the decoder.
    private(set) var form: [String] = []

    private static let mark = FamilyDraft.mark

    /// The last part of a tensor's name in a layer, and what it is in Megatron-Core.
    private struct Role {
        /// The endings by which it is recognised.
        var endings: [String]
        var megatron: String
        var shape: [String]
        var split = ""
    }

    private static let hidden = DraftSizes.hidden

    private static let roles = [
        Role(
            endings: ["input_layernorm.weight", "attention_norm.weight", "ln_1.weight"],
            megatron: "self_attention.linear_qkv.layer_norm_weight",
            shape: [hidden]
        ),
        Role(
            endings: ["self_attn.o_proj.weight", "attention.wo.weight", "attn.o_proj.weight"],
            megatron: "self_attention.linear_proj.weight",
            shape: [hidden, DraftSizes.queries],
            split: ", split: .row"
        ),
        Role(
            endings: ["post_feedforward_layernorm.weight"],
            megatron: "mlp.linear_fc2.post_layernorm.weight",
            shape: [hidden]
        ),
        Role(
            endings: ["pre_feedforward_layernorm.weight", "ffn_norm.weight", "ln_2.weight"],
            megatron: "mlp.linear_fc1.layer_norm_weight",
            shape: [hidden]
        ),
        Role(
            endings: ["mlp.down_proj.weight", "feed_forward.w2.weight"],
            megatron: "mlp.linear_fc2.weight",
            shape: [hidden, DraftSizes.ffn],
            split: ", split: .row"
        ),
    ]

    /// Norms of query and key, with the number of heads that one over the whole width has.
    private static let headNorms = [("q", DraftSizes.queries), ("k", DraftSizes.keys)]
    private static let heads = [
        ["q_proj", "k_proj", "v_proj"], ["wq", "wk", "wv"], ["query", "key", "value"],
    ]
    private static let gates = [["gate_proj", "up_proj"], ["w1", "w3"]]
    private static let embeddings = [
        "embed_tokens.weight", "tok_embeddings.weight", "wte.weight", "word_embeddings.weight",
    ]
    private static let finalNorms = [
        "model.norm.weight", "final_layernorm.weight", "ln_f.weight", "model.final_norm.weight",
    ]
    private static let outputs = ["lm_head.weight", "output.weight", "embed_out.weight"]

    private let sizes: DraftSizes
    /// The tensors outside and inside the layers: patterns with the shape of their first tensor.
    private var rest: [(pattern: String, shape: [Int])]

    /// A draft.
    ///
    /// - Parameters:
    ///   - tensors: Names and shapes.
    ///   - sizes: The sizes of the configuration; none where no file tells.
    init(tensors: [(name: String, shape: [Int])], sizes: DraftSizes) {
        self.sizes = sizes
        var shapes: [String: [Int]] = [:]
        for tensor in tensors.sorted(by: { $0.name < $1.name }) {
            let pattern = Self.pattern(tensor.name)
            if shapes[pattern] == nil { shapes[pattern] = tensor.shape }
        }
        rest = shapes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }

        first()
        let layers = layerLines()
        if !layers.isEmpty { lines += ["Layers(decoder.numLayers) {"] + layers.map { "    \($0)" } + ["}"] }
        let last = lastLines()
        if !last.isEmpty { lines += ["LastStage {"] + last.map { "    \($0)" } + ["}"] }
        for (pattern, shape) in rest where !pattern.contains("*") {
            lines += unknown(pattern, shape, megatron: pattern)
        }
    }

    /// The name with `*` for the first number between two dots.
    private static func pattern(_ name: String) -> String {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if let index = parts.firstIndex(where: { !$0.isEmpty && $0.allSatisfy(\.isNumber) }) { parts[index] = "*" }
        return SwiftLiteral.escaped(parts.joined(separator: "."))
    }

    private mutating func take(_ endings: [String]) -> (pattern: String, shape: [Int])? {
        guard let index = rest.firstIndex(where: { tensor in endings.contains { Self.ends(tensor.pattern, $0) } })
        else {
            return nil
        }
        return rest.remove(at: index)
    }

    private static func ends(_ name: String, _ ending: String) -> Bool {
        name == ending || name.hasSuffix(".\(ending)")
    }

    /// A row for a tensor, after a mark where its shape is not that of the tensor.
    private func rename(
        _ megatron: String,
        _ tensor: (pattern: String, shape: [Int]),
        _ shape: [String],
        _ split: String = ""
    ) -> [String] {
        let text = "[\(shape.joined(separator: ", "))]"
        return mismatch(tensor, shape) + ["Rename(\"\(megatron)\", \"\(tensor.pattern)\", \(text)\(split))"]
    }

    /// A mark for a tensor that does not have the shape of its row; none for a shape that no file tells.
    private func mismatch(_ tensor: (pattern: String, shape: [Int]), _ shape: [String]) -> [String] {
        guard !tensor.shape.isEmpty, let expected = sizes.values(shape), expected != tensor.shape else { return [] }
        return [
            "\(Self.mark) \(tensor.pattern) has the shape \(tensor.shape), and the sizes of config.json make \(expected); correct the "
                + "shape, the row or the sizes"
        ]
    }

    private mutating func first() {
        guard let tensor = take(Self.embeddings) else {
            lines.append("\(Self.mark) no tensor was recognised as the word embeddings")
            return
        }
        lines += rename(
            "embedding.word_embeddings.weight",
            tensor,
            [DraftSizes.vocabulary, DraftSizes.hidden],
            ", split: .vocabulary"
        )
    }

    private mutating func lastLines() -> [String] {
        var lines: [String] = []
        if let tensor = take(Self.finalNorms) {
            lines += rename("decoder.final_layernorm.weight", tensor, [DraftSizes.hidden])
        } else {
            lines.append("\(Self.mark) no tensor was recognised as the final norm")
        }
        let found = take(Self.outputs)
        if found == nil { lines.append("\(Self.mark) the name in a model whose embeddings are not tied") }
        return lines + [
            "OutputLayer(\"output_layer.weight\", \"\(found?.pattern ?? "lm_head.weight")\", [decoder.vocabSize, decoder.hiddenSize],",
            "    tiedTo: decoder.shareEmbeddingsAndOutputWeights ? \"embedding.word_embeddings.weight\" : nil)",
        ]
    }

    private mutating func layerLines() -> [String] {
        let layer = "decoder.layers.*."
        var lines: [String] = []
        let hasPostNorms = rest.contains { Self.ends($0.pattern, "post_feedforward_layernorm.weight") }
        for role in Self.roles.prefix(1) { lines += line(of: role, layer) }
        if lines.isEmpty { lines += Self.missingNorm("attention") }
        lines += headLines(layer)
        for role in Self.roles[1..<2] { lines += line(of: role, layer) }
        lines += headNormLines(layer)
        // With four norms in a layer it is the norm after the attention, with two the one before the MLP.
        if let tensor = take(["post_attention_layernorm.weight"]) {
            let megatron =
                hasPostNorms ? "self_attention.linear_proj.post_layernorm.weight" : "mlp.linear_fc1.layer_norm_weight"
            lines += rename(layer + megatron, tensor, [DraftSizes.hidden])
        }
        for role in Self.roles[2..<4] { lines += line(of: role, layer) }
        if !lines.contains(where: { $0.contains("linear_fc1.layer_norm_weight") }) {
            lines += Self.missingNorm("MLP")
        }
        for parts in Self.gates {
            let found = parts.compactMap { part in rest.first { Self.ends($0.pattern, "\(part).weight") } }
            guard case let names = found.map(\.pattern), names.count == 2 else { continue }
            for tensor in found { lines += mismatch(tensor, [DraftSizes.ffn, DraftSizes.hidden]) }
            rest.removeAll { names.contains($0.pattern) }
            lines += [
                "FuseGate(\"\(layer)mlp.linear_fc1.weight\", gate: \"\(names[0])\", up: \"\(names[1])\",",
                "    ffnHiddenSize: decoder.ffnHiddenSize, hiddenSize: decoder.hiddenSize)",
            ]
        }
        for role in Self.roles[4...] { lines += line(of: role, layer) }
        if hasPostNorms {
            form += ["\(Self.mark) the outputs of attention and MLP are normalised", "form.normalizesOutputs = true"]
        }
        for (pattern, shape) in rest where pattern.contains("*") {
            let tail = pattern.split(separator: "*", maxSplits: 1).last.map { $0.drop { $0 == "." } } ?? ""
            lines += unknown(pattern, shape, megatron: "\(layer)\(tail)")
        }
        rest.removeAll { $0.pattern.contains("*") }
        return lines
    }

    private mutating func line(of role: Role, _ layer: String) -> [String] {
        take(role.endings).map { rename(layer + role.megatron, $0, role.shape, role.split) } ?? []
    }

    /// A mark for a norm that every layer of the shared decoder has.
    private static func missingNorm(_ part: String) -> [String] {
        [
            "\(mark) no tensor was recognised as the norm before \(part), which every layer of the shared decoder has; name it, or "
                + "give the reason in 'static let conversionOnly: String?' of the provider: without it the family can only be converted"
        ]
    }

    private mutating func headNormLines(_ layer: String) -> [String] {
        var lines: [String] = []
        let headWidth = sizes.values([DraftSizes.head])
        for (part, all) in Self.headNorms {
            guard let tensor = take(["\(part)_norm.weight"]) else { continue }
            let megatron = "\(layer)self_attention.\(part)_layernorm.weight"
            // A norm of each head has the width of one; that of no model is known without a file.
            if tensor.shape.isEmpty || headWidth == nil || tensor.shape == headWidth {
                lines += rename(megatron, tensor, [DraftSizes.head])
                if part == "q" { form.append("form.normalizesHeads = true") }
            } else {
                lines += [
                    "\(Self.mark) a norm over all heads together, which the shared decoder does not compute; give the reason "
                        + "in 'static let conversionOnly: String?' of the provider: the family can only be converted"
                ]
                lines += rename(megatron, tensor, [all])
            }
        }
        return lines
    }

    private mutating func headLines(_ layer: String) -> [String] {
        var lines: [String] = []
        for parts in Self.heads {
            for kind in ["weight", "bias"] {
                let found = parts.compactMap { part in rest.first { Self.ends($0.pattern, "\(part).\(kind)") } }
                guard case let names = found.map(\.pattern), names.count == 3 else { continue }
                rest.removeAll { names.contains($0.pattern) }
                let list = names.map { "\"\($0)\"" }.joined(separator: ", ")
                let isBias = kind == "bias"
                for (tensor, height) in zip(found, [DraftSizes.queries, DraftSizes.keys, DraftSizes.keys]) {
                    lines += mismatch(tensor, isBias ? [height] : [height, DraftSizes.hidden])
                }
                lines += [
                    "\(isBias ? "FuseHeadBiases" : "FuseHeads")(\"\(layer)self_attention.linear_qkv.\(kind)\",",
                    "    [\(list)], heads: decoder.heads\(isBias ? "" : ", hiddenSize: decoder.hiddenSize"))",
                ]
            }
        }
        return lines
    }

    /// A line for a tensor that was not recognised, with its shape in the sizes of the configuration where they make it.
    private func unknown(_ pattern: String, _ shape: [Int], megatron: String) -> [String] {
        [
            "\(Self.mark) not recognised, of the shape \(shape); name Megatron-Core's parameter and how it is split, and read it in "
                + "the model",
            "Rename(\"\(megatron)\", \"\(pattern)\", [\(sizes.expressions(shape).joined(separator: ", "))])",
        ]
    }
}
