import BridgeCore
import TensorRuntime

/// The Pixtral tower and Mistral 3's projector.
///
/// All images are one sequence of N patches, in which a patch attends to the patches of its own image; its
/// position in the image rotates queries and keys. Source: `modeling_pixtral.py` and `modeling_mistral3.py`, transformers 5.23.
final class PixtralEncoder: VisionEncoder {
    private let sizes: VisionConfiguration
    private let rotary: RotaryEmbedding
    private let patchWeight: Parameter
    private let inputNorm: RMSNorm
    private let layers: [PixtralLayer]
    /// How many layers the features need.
    private let depth: Int
    private let projector: PatchProjector

    init(_ provider: Ministral3Provider, _ weights: ModelWeights) throws {
        let vision = provider.vision
        sizes = vision.tower
        rotary = RotaryEmbedding(width: sizes.hiddenSize / sizes.numAttentionHeads, base: vision.rotaryBase)
        patchWeight = try weights["vision_tower.patch_conv.weight"]
        inputNorm = RMSNorm(try weights["vision_tower.ln_pre.weight"], PixtralLayer.norm)
        layers = try (0..<sizes.numLayers).map { try PixtralLayer($0, vision, weights) }
        guard provider.visionFeatureLayer.values.count == 1 else {
            throw BridgeError(
                .badConfiguration,
                "the projector takes the output of one vision layer, vision_feature_layer names "
                    + "\(provider.visionFeatureLayer.values.count); transformers cannot run such a model either"
            )
        }
        let layer = provider.visionFeatureLayer.values[0]
        depth = layer < 0 ? layers.count + 1 + layer : layer
        guard (0...layers.count).contains(depth) else {
            throw BridgeError(
                .badConfiguration,
                "vision_feature_layer is \(layer), but the tower has \(layers.count) layers"
            )
        }
        projector = try PatchProjector(provider, weights)
    }

    var towerParameters: [Parameter] { [patchWeight, inputNorm.weight] + layers.flatMap(\.parameters) }
    var projectorParameters: [Parameter] { projector.parameters }

    func features(of images: [Tensor]) throws -> [Tensor] {
        let grids = try images.map(grid)
        let patches_NP = Tensor.concatenated(zip(images, grids).map(patches), dimension: 0)
        let weight_DP = patchWeight.tensor.reshaped([sizes.hiddenSize, -1])
        var stream_1ND = inputNorm(
            patches_NP.cast(to: weight_DP.elementType).projected(weight_DP, outputType: .float32)
                .reshaped([1, -1, sizes.hiddenSize]),
            as: .float32
        )
        let angles = angles(of: grids, on: weight_DP.engine)
        let counts = grids.map { $0.rows * $0.columns }
        let labels = AttentionMask.Labels(
            positions: (0..<counts.reduce(0, +)).map(Int32.init),
            segments: counts.enumerated().flatMap { [Int32](repeating: Int32($0), count: $1) },
            on: weight_DP.engine
        )
        let mask = AttentionMask(isCausal: false, tokens: labels)
        for layer in layers.prefix(depth) { stream_1ND = try layer(stream_1ND, angles, mask) }
        var first = 0
        return try zip(grids, counts).map { grid, count in
            defer { first += count }
            return try projector(stream_1ND.at(0).narrowed(0, to: first..<first + count), grid)
        }
    }

    private func grid(_ image: Tensor) throws -> PatchGrid {
        let (height, width) = (image.size(ofDimension: 1), image.size(ofDimension: 2))
        let side = sizes.patchSize
        guard image.shape[0] == sizes.numChannels, height % side == 0, width % side == 0,
            max(height, width) <= sizes.imageSize
        else {
            throw BridgeError(
                .badArgument,
                "an image of \(image.shape[0]) x \(height) x \(width) values, where the tower takes "
                    + "\(sizes.numChannels) channels and sides that are multiples of \(side) up to \(sizes.imageSize)"
            )
        }
        return PatchGrid(rows: height / side, columns: width / side)
    }

    /// Every patch of an image as one row of channels x height x width.
    private func patches(_ image: Tensor, _ grid: PatchGrid) -> Tensor {
        let side = sizes.patchSize
        return image.reshaped([sizes.numChannels, grid.rows, side, grid.columns, side]).permuted([1, 3, 0, 2, 4])
            .reshaped([grid.rows * grid.columns, -1])
    }

    /// Even frequencies rotate by the row of a patch, odd ones by its column.
    private func angles(of grids: [PatchGrid], on engine: any TensorEngine) -> RotaryAngles {
        let pairs = rotary.frequencies
        let byRow = stride(from: 0, to: pairs.count, by: 2).map { pairs[$0] }
        let byColumn = stride(from: 1, to: pairs.count, by: 2).map { pairs[$0] }
        var values: [Float] = []
        for grid in grids {
            for row in 0..<grid.rows {
                let rowAngles = byRow.map { Float(row) * $0 }
                for column in 0..<grid.columns { values += rowAngles + byColumn.map { Float(column) * $0 } }
            }
        }
        return rotary.angles(values, batch: 1, on: engine)
    }
}

/// How many patches an image has.
struct PatchGrid {
    let rows: Int
    let columns: Int
}

/// One layer of the tower.
private final class PixtralLayer: Sendable {
    /// The tower's norms have a fixed epsilon, independent of the configuration: `PixtralRMSNorm(..., eps=1e-5)`.
    static let norm = RMSNormOptions(epsilon: 1e-5)

    private let attentionNorm, mlpNorm: RMSNorm
    private let projections: [Linear]
    private let attentionOutput: Linear
    private let gateAndUp: [Linear]
    private let down: Linear
    private let headWidth: Int
    private let activation: ElementFunction

    init(_ index: Int, _ vision: PixtralConfiguration, _ weights: ModelWeights) throws {
        let own = "vision_tower.transformer.layers.\(index)."
        attentionNorm = RMSNorm(try weights["\(own)attention_norm.weight"], Self.norm)
        mlpNorm = RMSNorm(try weights["\(own)ffn_norm.weight"], Self.norm)
        projections = try ["q", "k", "v"].map { try weights.linear("\(own)attention.\($0)_proj") }
        attentionOutput = try weights.linear("\(own)attention.o_proj")
        gateAndUp = try ["gate", "up"].map { try weights.linear("\(own)feed_forward.\($0)_proj") }
        down = try weights.linear("\(own)feed_forward.down_proj")
        headWidth = vision.tower.hiddenSize / vision.tower.numAttentionHeads
        activation = try ElementFunction(huggingFace: vision.activation)
    }

    var parameters: [Parameter] {
        [attentionNorm.weight, mlpNorm.weight]
            + (projections + [attentionOutput] + gateAndUp + [down]).flatMap(\.parameters)
    }

    func callAsFunction(_ stream_1ND: Tensor, _ angles: RotaryAngles, _ mask: AttentionMask) throws -> Tensor {
        let heads = Linear.applyAll(attentionNorm(stream_1ND), projections).map {
            $0.reshaped([1, stream_1ND.shape[1], -1, headWidth])
        }
        let attended = heads[0].applyingRotaryEmbedding(angles).scaledDotProductAttention(
            to: heads[1].applyingRotaryEmbedding(angles),
            heads[2],
            mask: mask,
            scale: 1 / Float(headWidth).squareRoot()
        )
        let middle_1ND = stream_1ND + attentionOutput(attended.reshaped(stream_1ND.shape), as: .float32)
        let gates = Linear.applyAll(mlpNorm(middle_1ND), gateAndUp)
        return middle_1ND + down(gates[0].gatedActivation(gates[1], by: activation), as: .float32)
    }
}

/// Joins neighbouring patches and brings them to the width of the language model.
private final class PatchProjector: Sendable {
    private let norm: RMSNorm
    private let merge, first, second: Linear
    private let activation: ElementFunction
    private let side: Int

    init(_ provider: Ministral3Provider, _ weights: ModelWeights) throws {
        let own = "multi_modal_projector."
        norm = RMSNorm(
            try weights["\(own)norm.weight"],
            RMSNormOptions(epsilon: Float(provider.decoder.layernormEpsilon))
        )
        merge = try weights.linear("\(own)patch_merger.merging_layer")
        first = try weights.linear("\(own)linear_1")
        second = try weights.linear("\(own)linear_2")
        activation = try ElementFunction(huggingFace: provider.projectorActivation)
        side = provider.spatialMergeSize
    }

    var parameters: [Parameter] { [norm.weight] + (merge.parameters + first.parameters + second.parameters) }

    func callAsFunction(_ patches_ND: Tensor, _ grid: PatchGrid) throws -> Tensor {
        let width = patches_ND.shape[1]
        let (rows, columns) = (grid.rows / side, grid.columns / side)
        // What torch's unfold makes of a block of patches: channel by channel, each its rows and columns.
        let blocks = norm(patches_ND).reshaped([grid.rows, grid.columns, width])
            .narrowed(0, to: 0..<rows * side).narrowed(1, to: 0..<columns * side)
            .reshaped([rows, side, columns, side, width]).permuted([0, 2, 4, 1, 3])
            .reshaped([rows * columns, width * side * side])
        return second(first(merge(blocks)).applying(activation))
    }
}
