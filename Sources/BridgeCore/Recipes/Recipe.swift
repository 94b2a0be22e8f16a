/// Everything that names a training run: values, no behaviour.
///
/// Sections and fields are spelled as Megatron Bridge's `ConfigContainer` spells them, in Swift's manner:
/// `train.globalBatchSize` is `train.global_batch_size` in YAML and on the command line.
public struct Recipe: Sendable, Equatable {
    /// The recipe's name, as `bridge train --recipe` takes it.
    public var name: String
    /// The hub id of the model that it is made for; empty for any model.
    public var hfPath: String
    /// Layout and frozen parts.
    public var model = ModelSection()
    /// Steps and batches.
    public var train = TrainSection()
    /// The optimizer.
    public var optimizer = OptimizerSection()
    /// The course of the learning rate and the weight decay.
    public var scheduler = SchedulerSection()
    /// The samples.
    public var dataset = DatasetSection()
    /// Adapters.
    public var peft = PEFTSection()
    /// What is loaded and saved.
    public var checkpoint = CheckpointSection()
    /// What is written down.
    public var logger = LoggerSection()
    /// Random numbers.
    public var rng = RNGSection()
    /// `bf16_mixed` or `fp32`.
    public var mixedPrecision = MixedPrecision.bf16Mixed

    /// A recipe with the default of every section.
    public init(name: String, hfPath: String = "") {
        self.name = name
        self.hfPath = hfPath
    }

    /// In which types a run computes.
    public enum MixedPrecision: String, Sendable, CaseIterable {
        /// Weights and activations in bfloat16; main parameters, gradients and optimizer state in float32.
        case bf16Mixed = "bf16_mixed"
        /// Everything in float32.
        case fp32
    }
}
