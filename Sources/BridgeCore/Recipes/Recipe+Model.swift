extension Recipe {
    /// Layout and frozen parts of the model.
    public struct ModelSection: Sendable, Equatable {
        /// The size of the tensor-parallel axis.
        public var tensorModelParallelSize = 1
        /// The size of the pipeline-parallel axis.
        public var pipelineModelParallelSize = 1
        /// The size of the context-parallel axis.
        public var contextParallelSize = 1
        /// The longest sequence, in tokens.
        public var seqLength = 4096
        /// Whether the language model stays as it is.
        public var freezeLanguageModel = false
        /// Whether the vision tower stays as it is.
        public var freezeVisionModel = false
        /// Whether the projector stays as it is.
        public var freezeVisionProjection = false
        /// The share of attention weights that training drops, instead of the model's own; only 0 is supported.
        public var attentionDropout: Double?
        /// What is computed again on the way back instead of being kept.
        public var recomputeGranularity = Recomputation.none

        /// The default.
        public init() {}
    }

    /// What is computed again on the way back.
    public enum Recomputation: String, Sendable, CaseIterable {
        /// Nothing.
        case none
        /// The MLP of each layer.
        case selective
        /// Whole layers.
        case full
    }

    /// Steps and batches.
    public struct TrainSection: Sendable, Equatable {
        /// Samples in a forward pass.
        public var microBatchSize = 1
        /// Samples in a step.
        public var globalBatchSize = 32
        /// How many steps there are.
        public var trainIters = 1000
        /// How many steps lie between two validations; 0 for none.
        public var evalInterval = 30
        /// How many global batches a validation has.
        public var evalIters = 32
        /// Saves and ends after this many minutes; nil for never.
        public var exitDurationInMins: Double?
        /// Saves and ends after a multiple of this many steps; nil for never.
        public var exitInterval: Int?
        /// Whether each micro-batch counts the same, as in Megatron Bridge, and not each trained token.
        public var meanOfMeans = false
        /// A step whose loss is more than this many times the running mean is left out; nil for no such rule.
        public var spikeThreshold: Double?
        /// Ends the run with an error after this many steps in a row were left out.
        public var maxSkippedIters = 10

        /// The default.
        public init() {}
    }
}
