package import CheckpointFormats
public import Recipes
import TensorRuntime
import TorchFiles

/// How far a run is and how it trains, as Megatron-Core's container stores it beside the tensors.
public struct MegatronRunState: Sendable {
    /// The number of completed steps.
    public var steps: Int
    /// The number of consumed samples.
    public var consumedSamples: Int
    /// The number of steps that the optimizer has made.
    public var optimizerSteps: Int
    /// The settings of the run.
    public var recipe: Recipe

    /// The state of a run.
    public init(steps: Int, consumedSamples: Int, optimizerSteps: Int, recipe: Recipe) {
        self.steps = steps
        self.consumedSamples = consumedSamples
        self.optimizerSteps = optimizerSteps
        self.recipe = recipe
    }

    package var trainState: TrainStateFile { TrainStateFile(step: steps, consumedSamples: consumedSamples) }

    /// The groups of the optimizer that has the state of a run.
    package func groups(of state: TrainingState) -> OptimizerGroups {
        let ranks = Set(state.moments.map(\.tensor.rank))
        return groups(hasMatrices: ranks.contains { $0 > 1 }, hasVectors: ranks.contains { $0 <= 1 })
    }

    /// The groups of the optimizer and the state of the schedule.
    ///
    /// Megatron-Core makes a group of the matrices and one of the vectors, which have no weight decay, and counts the schedule
    /// in samples. Source: `_get_param_groups` in megatron/core/optimizer/__init__.py and optimizer_param_scheduler.py,
    /// megatron-core 0.16.1 and 0.19.2. The other settings are those of torch's AdamW and Transformer Engine's FusedAdam.
    ///
    /// - Parameters:
    ///   - hasMatrices: Whether a parameter with two dimensions or more is trained.
    ///   - hasVectors: Whether a parameter with one dimension is trained.
    /// - Returns: The groups.
    package func groups(hasMatrices: Bool, hasVectors: Bool) -> OptimizerGroups {
        let (optimizer, schedule) = (recipe.optimizer, LearningRateSchedule(recipe))
        let multipliers = (hasMatrices ? [1.0] : []) + (hasVectors ? [0.0] : [])
        let groups = multipliers.map { multiplier -> [OptimizerGroups.Setting] in
            [
                .init("wd_mult", .real(multiplier)), .init("lr_mult", .real(1)),
                .init("is_expert_parallel", .bool(false)), .init("is_decoupled_lr", .bool(false)),
                .init("default_config", .bool(true)),
                .init("max_lr", .real(optimizer.lr)), .init("min_lr", .real(optimizer.minLR)),
                .init("lr", .real(schedule.learningRate(at: steps))),
                .init("weight_decay", .real(schedule.weightDecay(at: steps) * multiplier)),
                .init("betas", .tuple([.real(optimizer.adamBeta1), .real(optimizer.adamBeta2)])),
                .init("eps", .real(optimizer.adamEps)),
                .init("bias_correction", .bool(true)), .init("decoupled_weight_decay", .bool(true)),
                .init("amsgrad", .bool(false)), .init("maximize", .bool(false)), .init("capturable", .bool(false)),
                .init("differentiable", .bool(false)), .init("foreach", .none), .init("fused", .none),
                .init(OptimizerGroups.step, .integer(optimizerSteps)),
            ]
        }
        let batch = Double(recipe.train.globalBatchSize)
        let scheduler: [OptimizerGroups.Setting] = [
            .init("max_lr", .real(schedule.maximum)), .init("min_lr", .real(schedule.minimum)),
            .init("lr_warmup_steps", .count(schedule.warmupSteps * batch)),
            .init("lr_decay_steps", .count(schedule.decaySteps * batch)),
            .init("lr_decay_style", .text(schedule.style.rawValue)),
            .init("num_steps", .count(Double(steps) * batch)),
            .init("start_wd", .real(schedule.startWeightDecay)), .init("end_wd", .real(schedule.endWeightDecay)),
            .init("wd_incr_style", .text(schedule.weightDecayStyle.rawValue)),
            .init("wd_incr_steps", .count(schedule.weightDecaySteps * batch)),
        ]
        return OptimizerGroups(groups: groups, scheduler: scheduler)
    }
}

extension OptimizerGroups.Setting {
    fileprivate init(_ name: String, _ value: PickleValue) { self.init(name, .single(value)) }
}

extension PickleValue {
    /// A whole number where it is one.
    fileprivate static func count(_ number: Double) -> PickleValue {
        Int(exactly: number).map { .integer($0) } ?? .real(number)
    }
}
