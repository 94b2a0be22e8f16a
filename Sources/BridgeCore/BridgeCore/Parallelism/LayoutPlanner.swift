import BridgeSupport
public import Communication
import ModelSchema
public import Recipes
public import TensorRuntime

/// Estimates layouts of a recipe on a kind of hardware, and finds the fastest one that fits its memory.
public struct LayoutPlanner {
    /// A layout with its estimate.
    public struct Candidate: Sendable, Equatable {
        /// The layout.
        public var layout: ParallelLayout
        /// What is recomputed in the backward pass.
        public var recomputation: Recipe.Recomputation
        /// The bytes of the rank that needs most.
        public var bytes: Int
        /// The time of a step.
        public var time: StepTime
        /// Whether the memory of a device suffices.
        public var fits: Bool
    }

    private let bridge: AutoBridge
    private let recipe: Recipe
    private let ranks: Int
    private let hardware: Hardware
    private let engine: any TensorEngine
    /// The parameters of the first rank along a tensor axis, by its size.
    private var parameters: [Int: StageParameters] = [:]

    /// A planner.
    ///
    /// - Parameters:
    ///   - bridge: The model, whose weights are not read.
    ///   - recipe: The recipe.
    ///   - ranks: The number of devices.
    ///   - hardware: Their kind.
    ///   - engine: An engine to make parameters without values on.
    public init(
        _ bridge: AutoBridge,
        _ recipe: Recipe,
        ranks: Int,
        on hardware: Hardware,
        engine: any TensorEngine
    ) {
        (self.bridge, self.recipe, self.ranks) = (bridge, recipe, ranks)
        (self.hardware, self.engine) = (hardware, engine)
    }

    /// The check of the recipe's own layout.
    public var check: LayoutCheck { bridge.layoutCheck(recipe, ranks: ranks) }

    /// The recipe's own layout; nil if it does not fit the number of ranks, the model or the batch.
    ///
    /// - Throws: `BridgeError` for adapters that the model cannot have.
    public mutating func recommended() throws -> Candidate? {
        let check = check
        return check.faults.isEmpty ? try candidate(check) : nil
    }

    /// The fastest layout that fits the memory; with recomputation only if none does without.
    ///
    /// - Throws: `BridgeError` for adapters that the model cannot have.
    public mutating func best() throws -> Candidate? {
        let own = recipe.model.recomputeGranularity
        let order: [Recipe.Recomputation] = [own] + [.selective, .full].filter { $0 != own && own != .full }
        // Tensor-parallel ranks exchange so much that they are in one host.
        let layouts = check.fitting.filter { $0.tensor <= hardware.devicesPerHost }
        for recomputation in order {
            var found: [Candidate] = []
            for layout in layouts {
                var other = recipe
                other.model.recomputeGranularity = recomputation
                other.model.tensorModelParallelSize = layout.tensor
                other.model.contextParallelSize = layout.context
                other.model.pipelineModelParallelSize = layout.pipeline
                let candidate = try candidate(bridge.layoutCheck(other, ranks: ranks))
                if candidate.fits { found.append(candidate) }
            }
            if let best = found.min(by: { $0.time.seconds < $1.time.seconds }) { return best }
        }
        return nil
    }

    private mutating func candidate(_ check: LayoutCheck) throws -> Candidate {
        let size = check.layout.tensor
        let known = try parameters[size] ?? StageParameters(bridge, check.recipe, tensorRank: 0, on: engine)
        parameters[size] = known
        let estimate = try RunEstimate(check, [known], bridge.toProvider().decoder)
        let bytes = estimate.heaviest().byteCount
        return Candidate(
            layout: estimate.layout,
            recomputation: check.recipe.model.recomputeGranularity,
            bytes: bytes,
            time: StepTime(estimate, on: hardware),
            fits: bytes <= hardware.usableMemory
        )
    }
}
