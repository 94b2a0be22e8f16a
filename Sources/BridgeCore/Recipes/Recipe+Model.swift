extension Recipe {
    /// Layout and frozen parts of the model.
    public struct ModelSection: Sendable, Equatable {
        /// The size of the tensor-parallel axis.
        public var tensorModelParallelSize = 1
        /// The size of the pipeline-parallel axis.
        public var pipelineModelParallelSize = 1
        /// The size of the context-parallel axis.
        public var contextParallelSize = 1
        /// Whether activations between tensor-parallel layers are divided along the sequence.
        public var sequenceParallel = false
        /// The number of layers of the first stage; nil for an even distribution.
        public var numLayersInFirstPipelineStage: Int?
        /// The number of layers of the last stage; nil for an even distribution.
        public var numLayersInLastPipelineStage: Int?
        /// The number of virtual stages on each pipeline-parallel rank; nil for one.
        public var virtualPipelineModelParallelSize: Int?
        /// Whether the embedding counts as a layer of the first stage.
        public var accountForEmbeddingInPipelineSplit = false
        /// Whether output layer and loss count as a layer of the last stage.
        public var accountForLossInPipelineSplit = false
        /// The layers of the virtual stages as a text; empty for an even distribution.
        public var pipelineModelParallelLayout = ""
        /// The maximum sequence length, in tokens.
        public var seqLength = 4096
        /// Whether the language model is frozen.
        public var freezeLanguageModel = false
        /// Whether the vision tower is frozen.
        public var freezeVisionModel = false
        /// Whether the projector is frozen.
        public var freezeVisionProjection = false
        /// The share of attention weights that training drops, instead of the model's own; only 0 is supported.
        public var attentionDropout: Double?
        /// Whether the loss is the mean over all supervised tokens, instead of the mean of the micro-batches' means.
        public var calculatePerTokenLoss = true
        /// The activations that are recomputed in the backward pass instead of stored.
        public var recomputeGranularity = Recomputation.none

        /// Whether the frozen matrices of the language model have 4 bits, as in QLoRA (Dettmers et al., arXiv 2305.14314).
        public var loadIn4bit = false
        /// Whether they have 8 bits.
        public var loadIn8bit = false
        /// How many weights of a row share a factor where they have fewer bits: 32, 64 or 128.
        public var quantizationGroupSize = 64

        /// Whether any weights have fewer bits.
        public var isQuantized: Bool { loadIn4bit || loadIn8bit }

        /// The default.
        public init() {}

        /// Replaces the layout by that of one rank.
        public mutating func useOneRank() {
            (tensorModelParallelSize, pipelineModelParallelSize, contextParallelSize) = (1, 1, 1)
            sequenceParallel = false
            useEvenStages()
        }

        /// Divides the layers evenly over the ranks of the pipeline, one stage each.
        package mutating func useEvenStages() {
            (numLayersInFirstPipelineStage, numLayersInLastPipelineStage) = (nil, nil)
            (accountForEmbeddingInPipelineSplit, accountForLossInPipelineSplit) = (false, false)
            (virtualPipelineModelParallelSize, pipelineModelParallelLayout) = (nil, "")
        }
    }

    /// The activations that are recomputed in the backward pass.
    public enum Recomputation: String, Sendable, CaseIterable {
        /// None.
        case none
        /// Those of the MLP of each layer.
        case selective
        /// Those of whole layers.
        case full
    }

    /// A metric of a validation, under its name in the log.
    public enum BestMetric: String, Sendable, CaseIterable {
        /// The loss; smaller is better.
        case loss
        /// The share of supervised tokens that are the most likely ones.
        case tokenAccuracy = "token_accuracy"
        /// The share of pairs whose chosen answer has the larger reward.
        case rewardAccuracy = "rewards/accuracies"
        /// The mean difference of the rewards of chosen and rejected answers.
        case rewardMargin = "rewards/margins"
    }

    /// Steps and batches.
    public struct TrainSection: Sendable, Equatable {
        /// The number of samples in a forward pass.
        public var microBatchSize = 1
        /// The number of samples in a step.
        public var globalBatchSize = 32
        /// The number of steps.
        public var trainIters = 1000
        /// The number of passes over the training samples, which then gives the number of steps; nil for `trainIters`.
        public var numEpochs: Double?
        /// The number of training samples of the run, repeated ones too, which then gives the number of steps; nil for `trainIters`.
        public var trainSamples: Int?
        /// The number of steps between two validations; 0 for no validation.
        public var evalInterval = 30
        /// The number of validations in a pass over the training samples, instead of `evalInterval`.
        public var evalsPerEpoch: Int?
        /// Ends the run after this number of consecutive validations none of which is the best so far; nil for never.
        public var patience: Int?
        /// The metric by which one validation is better than another.
        public var metricForBestModel = BestMetric.loss
        /// The number of global batches in a validation.
        public var evalIters = 32
        /// Saves a checkpoint and exits after this number of minutes; nil for never.
        public var exitDurationInMins: Double?
        /// Saves a checkpoint and exits after a step that is a multiple of this; nil for never.
        public var exitInterval: Int?
        /// A step is skipped if its loss exceeds the running mean by more than this factor; nil for never.
        public var spikeThreshold: Double?
        /// Alpha of the noise that training adds to embeddings (NEFTune, Jain et al., arXiv 2310.05914); nil for none.
        public var neftuneNoiseAlpha: Double?
        /// The run ends with an error after this number of consecutive skipped steps; 0 counts as 1.
        public var maxSkippedIters = 10

        /// The default.
        public init() {}
    }
}
