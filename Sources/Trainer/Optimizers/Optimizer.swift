public import BridgeCore
public import Communication
public import TensorRuntime

/// The trained parameters of a run, each with its master weights, gradient and optimizer state.
///
/// A bfloat16 parameter has float32 master weights; a float32 parameter is its own master.
public final class Optimizer {
    private let section: Recipe.OptimizerSection
    private let slots: [OptimizerSlot]
    private let engine: any TensorEngine
    private let groups: ProcessGroupCollection
    private let buckets: GradientBuckets
    /// The learning rates of parts that have one of their own, as multiples of that of the run, by their names.
    let rateFactors: [String: Double]
    /// What logs show as the learning rate, as a multiple of that of the run: 1, unless no parameter of any rank is trained at that;
    /// then the rate of the first part.
    let loggedRateFactor: Double
    /// Whether the ranks with the same parameters share the state.
    public let isDistributed: Bool
    /// The number of completed steps.
    public private(set) var stepCount = 0

    /// An optimizer for the trainable parameters of a list.
    ///
    /// - Parameters:
    ///   - section: The optimizer and its hyperparameters.
    ///   - parameters: Parameters; frozen ones are ignored.
    ///   - engine: The engine that computes.
    ///   - groups: The ranks of the run.
    ///   - ddp: How ranks with the same parameters exchange gradients and parameters.
    ///   - trace: The trace of the run; nil for none.
    /// - Throws: `BridgeError` when no parameter of any rank is trainable.
    public convenience init(
        _ section: Recipe.OptimizerSection,
        _ parameters: [Parameter],
        on engine: any TensorEngine,
        groups: ProcessGroupCollection = .single,
        ddp: Recipe.DDPSection = Recipe.DDPSection(),
        trace: ChromeTrace? = nil
    ) throws {
        try self.init(
            section,
            parameters,
            rates: LearningRateFactors(),
            on: engine,
            groups: groups,
            ddp: ddp,
            trace: trace
        )
    }

    init(
        _ section: Recipe.OptimizerSection,
        _ parameters: [Parameter],
        rates: LearningRateFactors,
        on engine: any TensorEngine,
        groups: ProcessGroupCollection,
        ddp: Recipe.DDPSection,
        trace: ChromeTrace?
    ) throws {
        self.section = section
        self.engine = engine
        self.groups = groups
        isDistributed = section.useDistributedOptimizer && groups.dpCp.size > 1
        let ranks: any ProcessGroup = isDistributed ? groups.dpCp : SingleRank()
        slots = parameters.filter(\.isTrainable).map {
            OptimizerSlot(
                $0,
                isAdam: section.optimizer == .adam,
                rateFactor: rates.factor(of: $0),
                ranks: ranks
            )
        }
        buckets = GradientBuckets(slots, ddp, isDistributed: isDistributed, groups: groups, trace: trace)
        let counts = try groups.world.allReduceSum([Double(slots.count), rates.usesRunRate(parameters) ? 1 : 0])
        rateFactors = Dictionary(rates.parts.map { ($0.name, $0.factor) }) { $1 }
        loggedRateFactor = rates.loggedPart(usesRunRate: counts[1] > 0)?.factor ?? 1
        guard counts[0] > 0 else {
            throw BridgeError(
                .badConfiguration,
                "no parameter is trainable: every part of the model is frozen and there are no adapters; "
                    + "remove one of the freeze options or set a PEFT scheme"
            )
        }
    }

    /// The number of trained parameter elements.
    public var parameterCount: Int { slots.reduce(0) { $0 + $1.values.count } }

    /// Zeroes all gradients.
    public func clearGradients() { buckets.clear() }

    /// Called in the last backward pass of a step when the gradient of a parameter is complete; see
    /// ``TensorRuntime/Gradients/init(of:seed:whenComplete:)``.
    ///
    /// With `ddp.overlap_grad_reduce` ranks then begin to sum it.
    public func gradientIsComplete(_ accumulator: GradientAccumulator) { buckets.isComplete(accumulator) }

    /// Sums the gradients that ranks have computed parts of, once the backward passes of a step are done.
    ///
    /// - Throws: What a group throws, and `BridgeError` for a gradient that is not finite with `ddp.check_for_nan_in_grad`.
    public func reduceGradients() throws { try buckets.finish() }

    /// Waits until this rank has the rows of all parameters that other ranks have updated.
    ///
    /// - Throws: What the group throws over which the state is distributed.
    public func awaitParameters() throws { try buckets.awaitValues() }

    /// The global L2 norm of all gradients, summed in a fixed order so that it is deterministic.
    ///
    /// - Throws: What a group throws.
    public func gradientNorm() throws -> Double {
        for slot in slots { slot.gradient.zeroIfEmpty() }
        return try norm(\.ownGradient)
    }

    /// The global L2 norm of all master weights.
    ///
    /// - Throws: What a group throws.
    public func parametersNorm() throws -> Double { try norm(\.main) }

    /// The L2 norm of all values of a tensor of each parameter, over all ranks.
    ///
    /// The sums of all tensors are read at once: reading each would wait for the engine as often as there are tensors.
    private func norm(_ tensor: (OptimizerSlot) -> Tensor) throws -> Double {
        // Ranks along the data and context axes have the same parameters, and so have some along the tensor axis.
        let isCounted = isDistributed || groups.dpCp.rank == 0
        let tensors = isCounted ? slots.filter { $0.parameter.isOwner && !$0.isEmpty }.map(tensor) : []
        let sums = Tensor(uninitialized: [tensors.count], .float64, on: engine)
        for (index, tensor) in tensors.enumerated() {
            engine.sumOfSquares(tensor, into: sums.narrowed(0, to: index..<index + 1))
        }
        return try groups.world.allReduceSum([sums.doubles().reduce(0, +)])[0].squareRoot()
    }

    /// The gradients, for inspection.
    public var gradients: [(name: String, sum: Tensor)] { slots.map { ($0.parameter.name, $0.gradient.sum) } }

    /// Performs one optimizer step.
    ///
    /// With `ddp.overlap_param_gather` the next forward pass waits for the rows of other ranks where it needs them.
    ///
    /// - Parameters:
    ///   - rate: The learning rate.
    ///   - weightDecay: The weight decay of matrices.
    ///   - gradientScale: The factor that gradients are multiplied by first.
    /// - Throws: What the group throws over which the state is distributed.
    public func step(rate: Double, weightDecay: Double, gradientScale: Double) throws {
        stepCount += 1
        for slot in slots { slot.gradient.zeroIfEmpty() }
        for slot in slots where !slot.isEmpty {
            update(slot, rate: rate, weightDecay: weightDecay, gradientScale: gradientScale)
        }
        if isDistributed { try buckets.gatherValues() }
    }

    private func update(_ slot: OptimizerSlot, rate: Double, weightDecay: Double, gradientScale: Double) {
        let decay = slot.decays ? weightDecay : 0
        let rate = rate * slot.rateFactor
        guard let second = slot.second else {
            engine.sgd(
                slot.main,
                velocity: slot.first,
                gradient: slot.ownGradient,
                model: slot.model,
                SGDStep(
                    gradientScale: Float(gradientScale),
                    rate: Float(rate),
                    momentum: Float(section.sgdMomentum),
                    weightDecay: Float(decay)
                )
            )
            return
        }
        engine.adamW(
            slot.main,
            first: slot.first,
            second: second,
            gradient: slot.ownGradient,
            model: slot.model,
            AdamWStep(
                gradientScale: Float(gradientScale),
                rate: rate,
                beta1: section.adamBeta1,
                beta2: section.adamBeta2,
                epsilon: section.adamEps,
                weightDecay: decay,
                count: stepCount
            )
        )
    }

    /// The optimizer state in a checkpoint.
    public var moments: [TrainingState.Moment] {
        slots.flatMap { slot -> [TrainingState.Moment] in
            let name = slot.parameter.name
            var moments = [
                TrainingState.Moment(
                    kind: slot.second == nil ? "momentum" : "exp_avg",
                    parameter: name,
                    tensor: slot.first,
                    shard: slot.shard
                )
            ]
            func add(_ kind: String, _ tensor: Tensor) {
                moments.append(.init(kind: kind, parameter: name, tensor: tensor, shard: slot.shard))
            }
            if let second = slot.second { add("exp_avg_sq", second) }
            if slot.model != nil { add("main", slot.main) }
            return moments
        }
    }

    /// Resumes from a checkpoint whose optimizer state was loaded into ``moments``.
    ///
    /// - Parameter stepCount: The number of completed steps.
    public func resume(after stepCount: Int) { self.stepCount = stepCount }

    /// Copies the loaded parameters to the master weights.
    public func takeParameters() {
        for slot in slots where !slot.isEmpty { if let model = slot.model { engine.copy(model, into: slot.main) } }
    }
}
