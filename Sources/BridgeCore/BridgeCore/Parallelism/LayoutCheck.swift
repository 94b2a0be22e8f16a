public import BridgeSupport
public import Communication
public import ModelSchema
public import Models
public import Recipes
import TensorRuntime

/// Checks whether a layout fits the number of ranks, the model and the batch sizes: all faults at once, and the nearest
/// layouts without any.
///
/// The rules are those of Megatron-Core 0.20 (`transformer_config.py`, `transformer_block.py`, `parallel_state.py`) and
/// Megatron Bridge 0.7 (`training/config.py`).
public struct LayoutCheck: Sendable {
    /// The number of ranks.
    public let ranks: Int
    /// The faults, one sentence each; empty for a layout that fits.
    public let faults: [String]
    /// The numbers of layers of the virtual pipeline stages, of which rank i has those that are i modulo the number of ranks.
    ///
    /// Empty if the layers cannot be divided or the model is not known.
    public let stageLayers: [Int]
    /// The number of layers of each pipeline-parallel rank; empty likewise.
    public var rankLayers: [Int] {
        let ranks = recipe.model.pipelineModelParallelSize
        guard !stageLayers.isEmpty else { return [] }
        return (0..<ranks).map { rank in
            stride(from: rank, to: stageLayers.count, by: ranks).reduce(0) { $0 + stageLayers[$1] }
        }
    }

    /// The largest number of ranks, and a bound on sizes, so that their products cannot overflow.
    public static let mostRanks = 1 << 20

    /// Whether all sizes are in range, without which no other rule is checked.
    public let hasSizesInRange: Bool

    let recipe: Recipe
    let decoder: DecoderConfiguration?
    let dividesData: Bool

    /// Checks the layout of a recipe.
    ///
    /// - Parameters:
    ///   - recipe: The layout, the sequence length and the batch sizes.
    ///   - ranks: The number of ranks.
    ///   - decoder: The sizes of the model; nil to check only ranks, sequence and batch.
    ///   - dividesData: Whether ranks may also divide sequences and batches, so that the nearest layouts may have CP and DP.
    public init(_ recipe: Recipe, ranks: Int, decoder: DecoderConfiguration?, dividesData: Bool = true) {
        (self.recipe, self.ranks, self.decoder, self.dividesData) = (recipe, ranks, decoder, dividesData)
        var faults: [String] = []
        var stageFault: String?
        var layers: [Int] = []
        if let decoder, (1...Self.mostRanks).contains(recipe.model.pipelineModelParallelSize) {
            do throws(PipelineStages.Fault) {
                layers = try PipelineStages(recipe.model, layerCount: decoder.numLayers).layers
            } catch { stageFault = error.sentence }
        }
        stageLayers = layers
        func require(_ holds: Bool, _ fault: @autoclosure () -> String) { if !holds { faults.append(fault()) } }
        let model = recipe.model
        let (tensor, context) = (model.tensorModelParallelSize, model.contextParallelSize)
        let sizes = [tensor, context, model.pipelineModelParallelSize, ranks, recipe.train.microBatchSize]
        hasSizesInRange = sizes.allSatisfy((1...Self.mostRanks).contains)
        guard hasSizesInRange else {
            self.faults = [
                "expected 1 to \(Self.mostRanks) for TP, PP, CP, the number of ranks and train.micro_batch_size"
            ]
            return
        }
        let copy = tensor * context * model.pipelineModelParallelSize
        require(
            ranks % copy == 0,
            "\(ByteFormat.counted(ranks, "rank")) cannot be divided by TP x PP x CP (\(tensor) x "
                + "\(model.pipelineModelParallelSize) x \(context) = \(copy))"
        )
        if let decoder {
            faults += Self.faults(tensorSize: tensor, decoder)
            if let stageFault { faults.append(stageFault) }
        }
        let (multiple, reason) = Self.lengthMultiple(model)
        require(
            model.seqLength % multiple == 0,
            "model.seq_length is \(model.seqLength), expected a multiple of \(reason), which is \(multiple)"
        )
        let (micro, global) = (recipe.train.microBatchSize, recipe.train.globalBatchSize)
        // A recipe's own check has the rule for one copy of the model.
        if ranks % copy == 0, global % micro == 0 {
            let step = micro * (ranks / copy)
            let below = global / step * step
            require(
                global % step == 0,
                "train.global_batch_size is \(global), expected a multiple of train.micro_batch_size x data-parallel size, "
                    + "which is \(micro) x \(ranks / copy), such as \(below > 0 ? "\(below) or " : "")\(below + step)"
            )
            let pipeline = model.pipelineModelParallelSize
            require(
                stageLayers.count <= pipeline || global % step != 0 || global / step % pipeline == 0,
                "train.global_batch_size is \(global), \(global / step) micro-batches for each copy of the model, and an interleaved "
                    + "pipeline needs a multiple of its \(pipeline) ranks"
            )
        }
        self.faults = faults
    }

    /// The layout, with as many copies of the model as there are ranks for.
    ///
    /// - Throws: `BridgeError` with code `badLayout`, all faults and the nearest layouts that fit.
    public func validated() throws -> ParallelLayout {
        if let error { throw error }
        return layout
    }

    /// How this rank's part of the model is computed.
    ///
    /// - Throws: As ``validated()``.
    public func parallelism(_ groups: ProcessGroupCollection) throws -> ModelParallelism {
        if let error { throw error }
        return ModelParallelism(groups, sequenceParallel: recipe.model.sequenceParallel, stageLayers: stageLayers)
    }

    /// The error of a layout that does not fit; nil for one that does.
    public var error: BridgeError? {
        guard !faults.isEmpty else { return nil }
        return BridgeError(.badLayout, message, names: faults + advice)
    }

    private var message: String {
        let model = recipe.model
        return "the layout TP \(model.tensorModelParallelSize) x PP \(model.pipelineModelParallelSize)"
            + (dividesData ? " x CP \(model.contextParallelSize)" : "")
            + "\(model.sequenceParallel ? " with sequence parallelism" : "") does not fit "
            + "\(ByteFormat.counted(ranks, "rank")), for \(ByteFormat.counted(faults.count, "reason"))"
    }

    var layout: ParallelLayout {
        let model = recipe.model
        let copy = model.tensorModelParallelSize * model.contextParallelSize * model.pipelineModelParallelSize
        return ParallelLayout(
            tensor: model.tensorModelParallelSize,
            context: model.contextParallelSize,
            data: max(1, ranks / max(copy, 1)),
            pipeline: model.pipelineModelParallelSize
        )
    }

    // MARK: Rules

    /// What does not fit when every matrix is divided over tensor-parallel ranks.
    private static func faults(tensorSize size: Int, _ decoder: DecoderConfiguration) -> [String] {
        guard size > 1 else { return [] }
        let (heads, groups, rows) = (
            decoder.numAttentionHeads, decoder.heads.groups, (decoder.vocabSize + size - 1) / size
        )
        var faults: [String] = []
        func require(_ holds: Bool, _ fault: @autoclosure () -> String) { if !holds { faults.append(fault()) } }
        require(heads % size == 0, "num_attention_heads is \(heads), expected a multiple of TP, which is \(size)")
        require(
            groups % size == 0 || size % groups == 0,
            "num_query_groups is \(groups), expected a multiple or a divisor of TP, which is \(size)"
        )
        require(
            decoder.ffnHiddenSize % size == 0,
            "ffn_hidden_size is \(decoder.ffnHiddenSize), expected a multiple of TP, which is \(size)"
        )
        require(
            rows * (size - 1) < decoder.vocabSize,
            "vocab_size is \(decoder.vocabSize), too small for \(size) tensor-parallel ranks"
        )
        return faults
    }

    /// What the length of a sequence is a multiple of, as a number and in words.
    private static func lengthMultiple(_ model: Recipe.ModelSection) -> (Int, String) {
        let (tensor, context) = (model.tensorModelParallelSize, model.contextParallelSize)
        return switch (context > 1, model.sequenceParallel && tensor > 1) {
        case (false, false): (1, "1")
        case (true, false): (2 * context, "2 x CP (2 x \(context))")
        case (false, true): (tensor, "TP, for sequence parallelism (\(tensor))")
        case (true, true):
            (2 * context * tensor, "2 x CP x TP, for sequence parallelism (2 x \(context) x \(tensor))")
        }
    }
}
