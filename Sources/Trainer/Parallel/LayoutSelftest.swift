public import BridgeCore
public import Communication
public import Logging
import TensorRuntime

/// Trains a model for a few steps under a layout, to compare its losses and gradient norms with those of one rank.
public struct LayoutSelftest: Sendable {
    /// A layout to try.
    public struct Variant: Sendable, Hashable {
        /// The layout.
        public var layout: ParallelLayout
        /// Whether activations are divided along the sequence.
        public var sequenceParallel: Bool
        /// Whether the samples of a micro-batch are packed into one row.
        public var packs: Bool

        /// A variant.
        public init(_ layout: ParallelLayout, sequenceParallel: Bool = false, packs: Bool = false) {
            (self.layout, self.sequenceParallel, self.packs) = (layout, sequenceParallel, packs)
        }

        /// Such as `TP 2 x PP 1 x DP 2 x CP 1, sequence-parallel`.
        public var name: String {
            "\(layout)\(sequenceParallel ? ", sequence-parallel" : "")\(packs ? ", packed" : "")"
        }
    }

    /// The losses and the gradient norms of the steps.
    public struct Curve: Sendable, Equatable {
        /// The losses.
        public var losses: [Double] = []
        /// The gradient norms.
        public var norms: [Double] = []

        /// A curve.
        public init(losses: [Double] = [], norms: [Double] = []) { (self.losses, self.norms) = (losses, norms) }

        /// The largest relative differences from another curve; infinite for another number of steps, and for values that
        /// are not numbers.
        public func differences(from other: Curve) -> (loss: Double, norm: Double) {
            func largest(_ own: [Double], _ others: [Double]) -> Double {
                guard own.count == others.count, !own.isEmpty else { return .infinity }
                return zip(own, others).reduce(0) { found, pair in
                    let difference = abs(pair.0 - pair.1) / max(abs(pair.1), .leastNormalMagnitude)
                    return difference.isFinite ? max(found, difference) : .infinity
                }
            }
            return (largest(losses, other.losses), largest(norms, other.norms))
        }
    }

    /// The largest relative difference that rounding explains in a few float32 steps.
    public static let tolerance = 1e-4

    private let path: String
    private let catalog: PluginCatalog
    private let ranks: Int
    private let steps: Int
    private let logger: Logger
    private let hasImages: Bool
    /// Whether the family supports packed rows.
    public let packs: Bool
    private let bridge: AutoBridge

    /// A test of a model.
    ///
    /// - Parameters:
    ///   - path: The model, whose weights are read as float32.
    ///   - catalog: The families.
    ///   - ranks: The number of ranks of the layouts.
    ///   - steps: The number of steps.
    ///   - logger: The logger.
    /// - Throws: `BridgeError` for a model that cannot be used.
    public init(_ path: String, catalog: PluginCatalog, ranks: Int, steps: Int, logger: Logger) throws {
        (self.path, self.catalog, self.ranks) = (path, catalog, ranks)
        (self.steps, self.logger) = (steps, logger)
        bridge = try AutoBridge.fromHF(path, catalog: catalog)
        hasImages = try bridge.processor().imageTokens != nil
        packs = bridge.bridge.recipes.first?.abilities.packsSequences ?? false
    }

    /// All layouts that fit the ranks and the model, with and without sequence parallelism.
    public var variants: [Variant] {
        let layouts = bridge.layoutCheck(recipe(Variant(ParallelLayout())), ranks: ranks).fitting
        let plain = layouts.map { Variant($0) }
        let divided = layouts.filter { $0.tensor > 1 }.map { Variant($0, sequenceParallel: true) }
        let all = plain + divided
        return all + (packs ? all.map { Variant($0.layout, sequenceParallel: $0.sequenceParallel, packs: true) } : [])
    }

    /// Trains under a layout; all ranks of the world call it.
    ///
    /// - Throws: `BridgeError` when a rank fails.
    public func run(_ variant: Variant, in world: any RankWorld) throws -> Curve {
        var environment = TrainingRun.Environment(
            catalog: catalog,
            engine: CPUEngine(threadCount: 1),
            logger: logger,
            today: "2026-01-01"
        )
        environment.world = world
        let curve = CurveRecorder()
        let run = try TrainingRun(recipe(variant), in: environment)
        _ = try run.trainer(callbacks: [curve]).run()
        return curve.curve
    }

    /// Two samples for each rank in a step, so that any number of copies of the model divides them.
    private func recipe(_ variant: Variant) -> Recipe {
        var recipe = Recipe(name: "selftest")
        recipe.mixedPrecision = .fp32
        recipe.model.tensorModelParallelSize = variant.layout.tensor
        recipe.model.contextParallelSize = variant.layout.context
        recipe.model.pipelineModelParallelSize = variant.layout.pipeline
        recipe.model.sequenceParallel = variant.sequenceParallel
        // Rows are shorter; every layout up to 64 ranks divides this.
        let length = max(1, min(512, bridge.toProvider().decoder.seqLength) / 64) * 64
        (recipe.model.seqLength, recipe.dataset.seqLength) = (length, length)
        (recipe.train.microBatchSize, recipe.train.globalBatchSize) = (2, 2 * ranks)
        (recipe.train.trainIters, recipe.train.evalInterval) = (steps, 0)
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
        recipe.scheduler.lrWarmupIters = 0
        recipe.dataset.datasetType = .mock
        recipe.dataset.numImages = hasImages ? 1 : 0
        recipe.dataset.numWorkers = 0
        recipe.dataset.packSequencesInBatch = variant.packs
        recipe.checkpoint.pretrainedCheckpoint = path
        return recipe
    }
}
