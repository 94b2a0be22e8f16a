import BridgeCore
import TensorRuntime

/// The SigLIP tower and Gemma 3's projector.
///
/// Images all have one size and are processed as a batch B of N patches. Source: `modeling_siglip.py` and
/// `modeling_gemma3.py`, transformers 5.23.
final class SigLIPEncoder: VisionEncoder {
    private let sizes: VisionConfiguration
    private let patchesPerSide: Int
    private let tokensPerSide: Int
    private let patch: (weight: Parameter, bias: Parameter)
    private let positions: Parameter
    private let layers: [SigLIPLayer]
    private let finalNorm: LayerNorm
    private let projectorNorm: RMSNorm
    private let projection: Linear
    /// The parameters of a pooling head in the checkpoint, which are not used.
    let unusedParameters: [Parameter]

    init(_ provider: Gemma3VLProvider, _ weights: ModelWeights) throws {
        let vision = provider.vision
        sizes = vision.tower
        patchesPerSide = vision.patchesPerSide
        tokensPerSide = (1...max(1, patchesPerSide)).first { $0 * $0 == provider.tokensPerImage } ?? 1
        let own = "vision_tower."
        patch = (
            try weights["\(own)embeddings.patch_embedding.weight"], try weights["\(own)embeddings.patch_embedding.bias"]
        )
        positions = try weights["\(own)embeddings.position_embedding.weight"]
        layers = try (0..<sizes.numLayers).map { try SigLIPLayer($0, vision, weights) }
        finalNorm = try weights.layerNorm("\(own)post_layernorm", vision)
        projectorNorm = RMSNorm(
            try weights["multi_modal_projector.mm_soft_embed_norm.weight"],
            .gemma(epsilon: vision.layernormEpsilon)
        )
        projection = try weights.linear("multi_modal_projector.proj")
        unusedParameters = try (vision.hasHead ? vision.headParameters : []).map { "\(own)\($0.path)" }
            .filter(weights.holds).map { try weights[$0] }
    }

    var towerParameters: [Parameter] {
        [patch.weight, patch.bias, positions] + layers.flatMap(\.parameters) + [finalNorm.weight, finalNorm.bias]
    }
    var projectorParameters: [Parameter] { [projectorNorm.weight] + projection.parameters }

    func features(of images: [Tensor]) throws -> [Tensor] {
        let side = sizes.imageSize
        for image in images where image.shape != [sizes.numChannels, side, side] {
            // The table of positions is not interpolated, so other sizes are not supported.
            throw BridgeError(
                .badArgument,
                "an image has \(image.shape.map(String.init).joined(separator: " x ")) values, expected "
                    + "\(sizes.numChannels) x \(side) x \(side)"
            )
        }
        let patches_BNP = Tensor.concatenated(images.map(patches), dimension: 0)
        let weight_DP = patch.weight.tensor.reshaped([sizes.hiddenSize, -1])
        var stream_BND =
            patches_BNP.cast(to: weight_DP.elementType).projected(
                weight_DP,
                bias: patch.bias.tensor,
                outputType: .float32
            ) + positions.tensor.cast(to: .float32)
        let count = patchesPerSide * patchesPerSide
        let labels = AttentionMask.Labels(
            positions: images.flatMap { _ in (0..<Int32(count)).map { $0 } },
            on: weight_DP.engine
        )
        let mask = AttentionMask(isCausal: false, tokens: labels)
        for layer in layers { stream_BND = try layer(stream_BND, mask) }
        let normalized_BND = finalNorm(stream_BND)
        return try images.indices.map { try project(normalized_BND.at($0)) }
    }

    /// The patches of an image, [1, N, channels x height x width].
    private func patches(_ image: Tensor) -> Tensor {
        let (grid, side) = (patchesPerSide, sizes.patchSize)
        return image.narrowed(1, to: 0..<grid * side).narrowed(2, to: 0..<grid * side)
            .reshaped([sizes.numChannels, grid, side, grid, side]).permuted([1, 3, 0, 2, 4])
            .reshaped([1, grid * grid, -1])
    }

    /// The means of square blocks of patches, normalized and projected to the hidden size of the language model.
    private func project(_ patches_ND: Tensor) throws -> Tensor {
        let (width, pool) = (patches_ND.shape[1], patchesPerSide / tokensPerSide)
        let pooled = patches_ND.reshaped([tokensPerSide, pool, tokensPerSide, pool, width]).mean(over: [1, 3])
        return projection(projectorNorm(pooled.reshaped([-1, width])))
    }
}

/// One layer of the tower.
private final class SigLIPLayer: Sendable {
    private let attentionNorm, mlpNorm: LayerNorm
    private let projections: [Linear]
    private let attentionOutput, first, second: Linear
    private let headWidth: Int
    private let activation: ElementFunction

    init(_ index: Int, _ vision: SigLIPConfiguration, _ weights: ModelWeights) throws {
        let own = "vision_tower.encoder.layers.\(index)."
        attentionNorm = try weights.layerNorm("\(own)layer_norm1", vision)
        mlpNorm = try weights.layerNorm("\(own)layer_norm2", vision)
        projections = try ["q", "k", "v"].map { try weights.linear("\(own)self_attn.\($0)_proj") }
        attentionOutput = try weights.linear("\(own)self_attn.out_proj")
        first = try weights.linear("\(own)mlp.fc1")
        second = try weights.linear("\(own)mlp.fc2")
        headWidth = vision.tower.hiddenSize / vision.tower.numAttentionHeads
        activation = try ElementFunction(huggingFace: vision.activation)
    }

    var parameters: [Parameter] {
        [attentionNorm.weight, attentionNorm.bias, mlpNorm.weight, mlpNorm.bias]
            + (projections + [attentionOutput, first, second]).flatMap(\.parameters)
    }

    func callAsFunction(_ stream_BND: Tensor, _ mask: AttentionMask) throws -> Tensor {
        let shape = stream_BND.shape
        let heads = Linear.applyAll(attentionNorm(stream_BND), projections).map {
            $0.reshaped([shape[0], shape[1], -1, headWidth])
        }
        let scale = 1 / Float(headWidth).squareRoot()
        let attended = heads[0].scaledDotProductAttention(to: heads[1], heads[2], mask: mask, scale: scale)
        let middle_BND = stream_BND + attentionOutput(attended.reshaped(shape), as: .float32)
        return middle_BND + second(first(mlpNorm(middle_BND)).applying(activation), as: .float32)
    }
}

extension ModelWeights {
    fileprivate func layerNorm(_ name: String, _ vision: SigLIPConfiguration) throws -> LayerNorm {
        LayerNorm(
            weight: try self["\(name).weight"],
            bias: try self["\(name).bias"],
            epsilon: Float(vision.layernormEpsilon)
        )
    }
}
