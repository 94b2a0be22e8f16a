/// All settings of a training run: values without behaviour.
///
/// Sections and fields are spelled as Megatron Bridge's `ConfigContainer` spells them, in Swift's manner:
/// `train.globalBatchSize` is `train.global_batch_size` in YAML and on the command line.
public struct Recipe: Sendable, Equatable {
    /// The recipe's name, as `bridge train --recipe` takes it.
    public var name: String
    /// The hub id of the recipe's model; empty for any model.
    public var hfPath: String
    /// Layout and frozen parts.
    public var model = ModelSection()
    /// Steps and batches.
    public var train = TrainSection()
    /// The optimizer.
    public var optimizer = OptimizerSection()
    /// The exchange of gradients and parameters between ranks with the same parameters.
    public var ddp = DDPSection()
    /// The schedule of learning rate and weight decay.
    public var scheduler = SchedulerSection()
    /// The data set.
    public var dataset = DatasetSection()
    /// Pairs of answers.
    public var preference = PreferenceSection()
    /// Adapters.
    public var peft = PEFTSection()
    /// The checkpoints to load and to save.
    public var checkpoint = CheckpointSection()
    /// The logs.
    public var logger = LoggerSection()
    /// The connection of ranks.
    public var dist = DistSection()
    /// Random number generation.
    public var rng = RNGSection()
    /// `bf16_mixed` or `fp32`.
    public var mixedPrecision = MixedPrecision.bf16Mixed

    /// A recipe with the default of every section.
    public init(name: String, hfPath: String = "") {
        self.name = name
        self.hfPath = hfPath
    }

    /// The element types of a run.
    public enum MixedPrecision: String, Sendable, CaseIterable {
        /// Weights and activations in bfloat16; master weights, gradients and optimizer state in float32.
        case bf16Mixed = "bf16_mixed"
        /// Everything in float32.
        case fp32
    }
}
