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

    /// The optimizer.
    public struct OptimizerSection: Sendable, Equatable {
        /// Which one.
        public enum Kind: String, Sendable, CaseIterable {
            /// AdamW: decoupled weight decay.
            case adam
            /// Stochastic gradient descent with momentum.
            case sgd
        }

        /// Which one.
        public var optimizer = Kind.adam
        /// The highest learning rate.
        public var lr = 5e-6
        /// The lowest learning rate.
        public var minLR = 0.0
        /// What parameters shrink by, times the learning rate; 1-D parameters do not.
        public var weightDecay = 0.1
        /// AdamW's first decay rate.
        public var adamBeta1 = 0.9
        /// AdamW's second decay rate.
        public var adamBeta2 = 0.95
        /// What AdamW adds to the root of the second moment.
        public var adamEps = 1e-5
        /// The momentum of SGD.
        public var sgdMomentum = 0.9
        /// The largest global norm of a gradient; 0 for no limit.
        public var clipGrad = 1.0

        /// The default.
        public init() {}
    }

    /// The course of the learning rate and the weight decay.
    public struct SchedulerSection: Sendable, Equatable {
        /// The course behind the warm-up.
        public enum Style: String, Sendable, CaseIterable {
            /// A straight line.
            case linear
            /// Half a wave.
            case cosine
            /// No change.
            case constant
            /// One over the root of the step.
            case inverseSquareRoot = "inverse-square-root"
            /// Constant, with a decay at the end.
            case wsd = "WSD"
        }

        /// The course behind the warm-up.
        public var lrDecayStyle = Style.cosine
        /// How many steps the warm-up has.
        public var lrWarmupIters = 50
        /// The warm-up's part of the decay steps; nil for `lrWarmupIters`.
        public var lrWarmupFraction: Double?
        /// The learning rate at the beginning of the warm-up.
        public var lrWarmupInit = 0.0
        /// After how many steps the lowest rate is reached; nil for `train.trainIters`.
        public var lrDecayIters: Int?
        /// The course of the decay of WSD: linear, cosine, exponential or minus_sqrt.
        public var lrWSDDecayStyle = WSDDecay.exponential
        /// How many steps the decay of WSD has.
        public var lrWSDDecayIters: Int?
        /// The weight decay at the beginning; nil for `optimizer.weightDecay`.
        public var startWeightDecay: Double?
        /// The weight decay at the end; nil for `optimizer.weightDecay`.
        public var endWeightDecay: Double?
        /// The course of the weight decay: constant, linear or cosine.
        public var weightDecayIncrStyle = WeightDecayStyle.constant

        /// The default.
        public init() {}
    }

    /// The course of the decay of WSD.
    public enum WSDDecay: String, Sendable, CaseIterable {
        case linear, cosine, exponential
        case minusSquareRoot = "minus_sqrt"
    }

    /// The course of the weight decay.
    public enum WeightDecayStyle: String, Sendable, CaseIterable {
        case constant, linear, cosine
    }

    /// The samples.
    public struct DatasetSection: Sendable, Equatable {
        /// What kind of source there is.
        public enum Kind: String, Sendable, CaseIterable {
            /// Made-up pictures with one question and answer.
            case mock
            /// JSON or JSONL with conversations.
            case preloaded
            /// JSONL with tokens and labels.
            case tokenized
            /// A Hugging Face data set, read by a maker.
            case hf
        }

        /// What kind of source there is.
        public var datasetType = Kind.hf
        /// The maker, for `hf`.
        public var makerName = "make_cord_v2_dataset"
        /// Folder, file or hub id of the data; empty for the maker's own.
        public var pathOrDataset = ""
        /// The file with the samples to train on, for `preloaded` and `tokenized`.
        public var trainDataPath = ""
        /// The file with the samples to validate on; empty for none.
        public var validDataPath = ""
        /// The folder that image paths in the data are relative to; empty for the file's own.
        public var imageFolder = ""
        /// The longest sample, in tokens.
        public var seqLength = 4096
        /// Whether samples come in another order in each epoch.
        public var shuffle = true
        /// Whether several samples share one row.
        public var packSequencesInBatch = false
        /// How many threads prepare samples.
        public var numWorkers = 2
        /// What the lengths of rows are multiples of.
        public var padToMultipleOf = 1
        /// Pictures in a made-up sample.
        public var numImages = 1

        /// The default.
        public init() {}
    }

    /// Adapters.
    public struct PEFTSection: Sendable, Equatable {
        /// Which adapters.
        public enum Scheme: String, Sendable, CaseIterable {
            /// None: the model itself is trained.
            case none
            /// Low-rank adaptation (Hu et al., arXiv 2106.09685).
            case lora
            /// Weight-decomposed low-rank adaptation (Liu et al., arXiv 2402.09353).
            case dora
        }

        /// Which adapters.
        public var scheme = Scheme.none
        /// The rank.
        public var dim = 32
        /// What the adapters' output is multiplied by, times the rank.
        public var alpha = 32.0
        /// The probability with which an input of an adapter is dropped.
        public var dropout = 0.0
        /// Modules that get adapters, by name or by a pattern of the full name.
        public var targetModules = ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"]
        /// Modules that get none.
        public var excludeModules: [String] = []
        /// Whether query, key and value, gate and up have adapters of their own.
        public var canonical = false
        /// Whether the vision tower gets adapters too.
        public var visionLora = false
        /// Parts of the model that are trained in full beside the adapters: `language_model`, `vision_tower`,
        /// `multi_modal_projector`.
        public var modulesToSave: [String] = []

        /// The default.
        public init() {}
    }

    /// What is loaded and saved.
    public struct CheckpointSection: Sendable, Equatable {
        /// The weights to start from: a Megatron checkpoint or a Hugging Face folder; empty for random ones.
        public var pretrainedCheckpoint = ""
        /// The folder of the run's checkpoints; a run goes on from the newest of them. Empty for none.
        public var save = ""
        /// A folder with checkpoints to go on from; empty for `save`.
        public var load = ""
        /// How many steps lie between two checkpoints.
        public var saveInterval = 50
        /// How many checkpoints are kept; 0 for all.
        public var mostRecentK = 0
        /// Whether the state of the optimizer is saved.
        public var saveOptim = true
        /// Whether training goes on while a checkpoint is written.
        public var asyncSave = true

        /// The default.
        public init() {}
    }

    /// What is written down.
    public struct LoggerSection: Sendable, Equatable {
        /// How many steps a line of the console stands for.
        public var logInterval = 10
        /// The folder of TensorBoard's event files; empty for none.
        public var tensorboardDir = ""
        /// Whether lines have the norm of all parameters.
        public var logParamsNorm = false
        /// Whether lines have operations per second.
        public var logThroughput = false

        /// The default.
        public init() {}
    }

    /// Random numbers.
    public struct RNGSection: Sendable, Equatable {
        /// What all random numbers of a run follow from.
        public var seed: UInt64 = 1234

        /// The default.
        public init() {}
    }
}
