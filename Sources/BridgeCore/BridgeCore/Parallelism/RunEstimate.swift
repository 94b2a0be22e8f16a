import BridgeSupport
public import Communication
import ModelSchema
public import Recipes
public import TensorRuntime

/// What each rank of a run needs, by formulas: memory, bytes to send and operations; no rank is started.
public struct RunEstimate {
    /// What a rank needs.
    public struct Rank: Sendable, Equatable {
        /// The rank.
        public var rank: Int
        /// The number of its parameters.
        public var parameters: Int
        /// The number of its trained parameters.
        public var trained: Int
        /// The bytes of its weights.
        public var weights: Int
        /// The bytes of the gradients.
        public var gradients: Int
        /// The bytes of the optimizer's state, master weights included.
        public var optimizer: Int
        /// The most bytes of activations, for rows of the sequence length and without images.
        public var activations: Int
        /// The bytes that it sends in a step, by axis; those of the optimizer and of gradients belong to the data axis.
        public var sent: [ParallelLayout.Axis: Int]
        /// The floating-point operations of a step.
        public var operations: Double

        /// The bytes of everything.
        public var byteCount: Int { weights + gradients + optimizer + activations }
    }

    /// The recipe.
    public let recipe: Recipe
    /// The layout.
    public let layout: ParallelLayout
    /// The numbers of layers of the stages.
    public let stageLayers: [Int]

    let decoder: DecoderConfiguration
    private let activations: ActivationMemory
    /// By tensor-parallel rank.
    private let parameters: [StageParameters]

    /// The estimate of a run.
    ///
    /// - Parameters:
    ///   - bridge: The model, whose weights are not read.
    ///   - recipe: The recipe with its layout.
    ///   - ranks: The number of ranks.
    ///   - engine: An engine to make parameters without values on.
    ///   - tensorRanks: The tensor-parallel ranks that will be asked for; nil for all.
    /// - Throws: `BridgeError` for a layout that does not fit.
    public init(
        _ bridge: AutoBridge,
        _ recipe: Recipe,
        ranks: Int,
        on engine: any TensorEngine,
        tensorRanks: Range<Int>? = nil
    ) throws {
        let check = bridge.layoutCheck(recipe, ranks: ranks)
        _ = try check.validated()
        try self.init(
            check,
            (tensorRanks ?? 0..<check.layout.tensor).map {
                try StageParameters(bridge, recipe, tensorRank: $0, on: engine)
            },
            bridge.toProvider().decoder
        )
    }

    /// The estimate of a run with a layout that fits.
    ///
    /// - Parameters:
    ///   - check: The layout.
    ///   - parameters: Those of tensor-parallel ranks from the first one on; the last of them counts for all others.
    ///   - decoder: The sizes of the model.
    /// - Throws: `BridgeError` without any parameters.
    init(_ check: LayoutCheck, _ parameters: [StageParameters], _ decoder: DecoderConfiguration) throws {
        (recipe, layout, stageLayers) = (check.recipe, check.layout, check.rankLayers)
        (self.parameters, self.decoder) = (parameters, decoder)
        guard let form = parameters.first?.form else {
            throw BridgeError(.badArgument, "an estimate needs at least one tensor-parallel rank")
        }
        activations = ActivationMemory(recipe, decoder, form)
    }

    /// The number of micro-batches of each copy of the model.
    public var microBatches: Int { recipe.train.globalBatchSize / (recipe.train.microBatchSize * layout.data) }

    /// The number of tokens of a micro-batch that a context-parallel rank has.
    var tokens: Int { recipe.train.microBatchSize * recipe.rowLength / layout.context }

    /// The rank with the most memory.
    public func heaviest() -> Rank {
        // The first rank along the tensor axis has the most rows of a vocabulary that does not divide evenly.
        stages.max { $0.byteCount < $1.byteCount } ?? rank(0)
    }

    /// The last rank of each stage along the data and context axes, which has the most rows of the optimizer's state, and the
    /// first one along the tensor axis.
    var stages: [Rank] {
        let copies = layout.tensor * layout.context * layout.data
        return (0..<layout.pipeline).map { rank(($0 + 1) * copies - layout.tensor) }
    }

    /// What a rank needs.
    public func rank(_ rank: Int) -> Rank {
        let (tensor, stage) = (layout.position(of: rank, along: .tensor), layout.position(of: rank, along: .pipeline))
        let found = parameters[min(tensor, parameters.count - 1)]
        let layers = stageLayers[stage]
        let ends = found.ends(ofStage: stage, of: layout.pipeline)
        let all = ends.map { (size: $0, times: 1) } + found.layer.map { (size: $0, times: layers) }
        func sum(_ value: (StageParameters.Size) -> Int) -> Int { all.reduce(0) { $0 + $1.times * value($1.size) } }
        let isAdam = recipe.optimizer.optimizer == .adam
        let owners = recipe.optimizer.useDistributedOptimizer ? layout.data * layout.context : 1
        let position =
            owners == 1
            ? 0
            : layout.position(of: rank, along: .data) * layout.context + layout.position(of: rank, along: .context)
        let isLast = stage == layout.pipeline - 1
        let trained = sum { $0.isTrainable ? $0.count : 0 }
        let weights = sum(\.byteCount)
        return Rank(
            rank: rank,
            parameters: sum(\.count),
            trained: trained,
            weights: weights,
            gradients: 4 * trained,
            optimizer: sum { size in
                guard size.isTrainable else { return 0 }
                let rows = size.height * (position + 1) / owners - size.height * position / owners
                // Two moments, or one velocity, and the master weights of bfloat16 parameters.
                return rows * size.width * ((isAdam ? 8 : 4) + (size.elementByteCount == 4 ? 0 : 4))
            },
            activations: activations.bytes(
                layers: layers,
                microBatches: min(microBatches, layout.pipeline - stage),
                isLast: isLast
            ),
            sent: sent(
                stage: stage,
                trained: trained,
                trainedBytes: sum { $0.isTrainable ? $0.count * $0.elementByteCount : 0 }
            ),
            operations: operations(
                matrices: sum { $0.isMatrixOfTokens ? $0.count : 0 },
                trained: sum { $0.isMatrixOfTokens && $0.isTrainable ? $0.count : 0 },
                layers: layers
            )
        )
    }

    /// The parameters of the whole model, each counted once: all and trained ones.
    public func totals() -> (parameters: Int, trained: Int) {
        var (total, trained) = (0, 0)
        for found in parameters {
            for stage in 0..<layout.pipeline {
                let ends = found.ends(ofStage: stage, of: layout.pipeline).map { (size: $0, times: 1) }
                for entry in ends + found.layer.map({ (size: $0, times: stageLayers[stage]) }) where entry.size.isOwner
                {
                    total += entry.times * entry.size.count
                    trained += entry.size.isTrainable ? entry.times * entry.size.count : 0
                }
            }
        }
        return (total, trained)
    }

    /// Operations of a step: two for each weight and token in the forward pass, two for the gradient of the input, two for
    /// that of a trained weight; and attention, of which the causal mask leaves half.
    private func operations(matrices: Int, trained: Int, layers: Int) -> Double {
        let length = Double(recipe.model.seqLength)
        let windows = (0..<decoder.numLayers).map { min(length, Double(decoder.window(ofLayer: $0) ?? .max)) }
        let seen = windows.reduce(0) { $0 + $1 * (1 - $1 / (2 * length)) } / Double(max(decoder.numLayers, 1))
        let attention = Double(4 * layers * decoder.numAttentionHeads / layout.tensor * decoder.kvChannels) * seen
        let forward = 2 * Double(matrices) + attention
        let again =
            switch recipe.model.recomputeGranularity {
            case .none: 0.0
            case .selective: 0.6 * 2 * Double(matrices)
            case .full: forward
            }
        let perToken = 3 * forward - 2 * Double(matrices - trained) + again
        return perToken * Double(tokens) * Double(microBatches)
    }

    /// The bytes that a rank sends, as ring algorithms need: a part of (n - 1) / n for each all-gather and reduce-scatter,
    /// two for an all-reduce.
    private func sent(stage: Int, trained: Int, trainedBytes: Int) -> [ParallelLayout.Axis: Int] {
        let element = recipe.mixedPrecision == .bf16Mixed ? 2 : 4
        let (layers, width) = (stageLayers[stage], decoder.hiddenSize)
        let (isFirst, isLast) = (stage == 0, stage == layout.pipeline - 1)
        func part(_ count: Int, of ranks: Int) -> Int { count * (ranks - 1) / ranks }
        var sent: [ParallelLayout.Axis: Int] = [:]
        if layout.tensor > 1 {
            // Each of the two blocks of a layer sums its float32 output, and the gradient of its input.
            let again =
                switch recipe.model.recomputeGranularity {
                case .none: 0
                case .selective: 4
                case .full: 8
                }
            let blocks = (2 * (4 + element) + again) * width * tokens
            let ends = (isFirst ? element : 0) * width * tokens + (isLast ? element : 0) * width * tokens
            sent[.tensor] = microBatches * part(2 * (layers * blocks + ends), of: layout.tensor)
        }
        if layout.context > 1 {
            let keys = max(1, decoder.heads.groups / layout.tensor) * decoder.kvChannels
            // All ranks' keys and values are gathered, and their gradients are scattered.
            sent[.context] = microBatches * layers * 2 * 2 * element * keys * tokens * (layout.context - 1)
        }
        if layout.pipeline > 1 {
            let own = recipe.model.sequenceParallel ? tokens / layout.tensor : tokens
            sent[.pipeline] = microBatches * ((isLast ? 0 : 1) + (isFirst ? 0 : 1)) * 4 * width * own
        }
        let copies = layout.data * layout.context
        if copies > 1 {
            sent[.data] =
                recipe.optimizer.useDistributedOptimizer
                ? part(4 * trained + trainedBytes, of: copies) : part(2 * 4 * trained, of: copies)
        }
        return sent
    }
}
