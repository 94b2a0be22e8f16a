extension Recipe {
    /// The data set.
    public struct DatasetSection: Sendable, Equatable {
        /// The kind of data set.
        public enum Kind: String, Sendable, CaseIterable {
            /// Synthetic images with one question and answer.
            case mock
            /// JSON or JSONL with conversations.
            case preloaded
            /// JSONL with tokens and labels.
            case tokenized
            /// A Hugging Face data set, read by a maker.
            case hf
        }

        /// How the samples of several sources are joined, under the names of the package datasets.
        public enum Blend: String, Sendable, CaseIterable {
            /// One source after the other.
            case concatenate
            /// Interleaved until the first source has no more samples.
            case firstExhausted = "first_exhausted"
            /// Interleaved until every source was exhausted once; shorter ones are repeated.
            case allExhausted = "all_exhausted"
            /// Interleaved until every source was exhausted; shorter ones are skipped from then on.
            case withoutReplacement = "all_exhausted_without_replacement"
        }

        /// What is done with a sample of more than `seqLength` tokens.
        public enum ExcessLength: String, Sendable, CaseIterable {
            /// Its end is cut off.
            case truncate
            /// It is dropped.
            case drop
            /// The run does not begin.
            case error
        }

        /// The order in which samples are packed into rows, under the names of NeMo and Megatron Bridge.
        public enum Packing: String, Sendable, CaseIterable {
            /// At random, each into the first row with enough room.
            case firstFitShuffle = "first_fit_shuffle"
            /// The longest first, each into the first row with enough room.
            case firstFitDecreasing = "first_fit_decreasing"
        }

        /// The kind of data set.
        public var datasetType = Kind.hf
        /// The maker, for `hf`.
        public var makerName = "make_cord_v2_dataset"
        /// Directory, file or hub id of the data; empty for the maker's default.
        public var pathOrDataset = ""
        /// The file of training samples, for `preloaded` and `tokenized`.
        public var trainDataPath = ""
        /// The file of validation samples; empty for none.
        public var validDataPath = ""
        /// The share (less than 1) or the number of training samples that are set apart for validation; 0 for none.
        public var valSetSize = 0.0
        /// Several data sets of the kind, in place of the one of ``trainDataPath`` or ``pathOrDataset``; empty for that one.
        public var source: [String] = []
        /// The files of validation samples, for several sources of the kinds `preloaded` and `tokenized`.
        public var validationSource: [String] = []
        /// The share of each source when they are interleaved, in any unit; empty to take them in turn.
        public var sourceWeights: [Double] = []
        /// How the samples of several sources are joined.
        public var blend = Blend.concatenate
        /// The seed of the choices by weight; nil for that of the run.
        public var blendSeed: UInt64?
        /// The number of samples of each source that are used, from its first one; nil for all.
        public var maxSamples: Int?
        /// What is done with a sample of more than ``seqLength`` tokens.
        public var excessLengthStrategy = ExcessLength.truncate
        /// Whether a sample that equals an earlier one is dropped.
        public var exactDeduplication = false
        /// The directory that image paths are relative to; empty for the directory of the file.
        public var imageFolder = ""
        /// The maximum length of a sample, in tokens.
        public var seqLength = 4096
        /// Whether samples are shuffled in each epoch.
        public var shuffle = true
        /// Whether several samples are packed into one row.
        public var packSequencesInBatch = false
        /// The number of tokens of a row into which samples are packed before the run; 0 or less for none.
        public var packedSequenceSize = 0
        /// The order in which samples are packed before the run.
        public var packingAlgorithm = Packing.firstFitShuffle
        /// The directory of prepared data; empty to read the data sets themselves.
        public var preparedPath = ""
        /// Which tokens of a conversation are supervised.
        public var lossMode = LossMode.assistant
        /// The roles whose turns are supervised, by any of the names in ``roles``.
        public var rolesToTrain = ["assistant"]
        /// The date for chat templates, as yyyy-mm-dd; empty for the date of the run's first start.
        public var date = ""
        /// The number of threads that prepare samples.
        public var numWorkers = 2
        /// Rows are padded to a multiple of this number of tokens.
        public var padToMultipleOf = 1
        /// The number of images in a synthetic sample.
        public var numImages = 1

        /// The default.
        public init() {}

        /// The data sets of training: those of ``source``, otherwise the single one, which is empty for a maker's own.
        public var trainingSources: [String] {
            source.isEmpty ? [datasetType == .hf ? pathOrDataset : trainDataPath] : source
        }

        /// The files of validation samples; none for data sets with splits.
        public var validationFiles: [String] {
            validationSource.isEmpty ? [validDataPath].filter { !$0.isEmpty } : validationSource
        }

        /// The roles of conversations by the names that rows have for them.
        public static let roles = [
            "assistant": "assistant", "gpt": "assistant", "model": "assistant", "user": "user", "human": "user",
            "system": "system", "tool": "tool", "function": "tool", "observation": "tool",
        ]

        /// The roles of ``rolesToTrain``.
        public var trainedRoles: Set<String> { Set(rolesToTrain.compactMap { Self.roles[$0] }) }

        /// Whether samples are packed into rows before the run.
        public var packsAhead: Bool { packedSequenceSize > 0 }

        /// Whether there are files of validation samples.
        var hasValidationFiles: Bool { !validationFiles.isEmpty }
    }

    /// The maximum length of a row in tokens, of one sample or of several that are packed before the run.
    public var rowLength: Int { dataset.packsAhead ? dataset.packedSequenceSize : model.seqLength }

    /// Which tokens of a conversation are supervised.
    public enum LossMode: String, Sendable, CaseIterable {
        /// All turns of the assistant, with their end tokens.
        case assistant
        /// The last turn of the assistant.
        case lastTurn = "last_turn"
        /// All tokens except images.
        case full
    }

    /// Adapters.
    public struct PEFTSection: Sendable, Equatable {
        /// The kind of adapter.
        public enum Scheme: String, Sendable, CaseIterable {
            /// None: the model itself is trained.
            case none
            /// Low-rank adaptation (Hu et al., arXiv 2106.09685).
            case lora
            /// Weight-decomposed low-rank adaptation (Liu et al., arXiv 2402.09353).
            case dora
        }

        /// What A and B are before training, under PEFT's names.
        public enum Initialization: String, Sendable, CaseIterable {
            /// A at random, B zero.
            case standard = "default"
            /// The largest singular values of the weight with their vectors (PiSSA, Meng et al., arXiv 2404.02948).
            case pissa
            /// The first columns of the weight's QR decomposition (OLoRA, Büyükakyüz, arXiv 2406.01775).
            case olora
        }

        /// The kind of adapter.
        public var scheme = Scheme.none
        /// The rank.
        public var dim = 32
        /// The scaling numerator: an adapter's output is multiplied by alpha / dim, or alpha / sqrt(dim) with ``usesRSLoRA``.
        public var alpha = 32.0
        /// Whether alpha is divided by the square root of the rank (Kalajdzievski, arXiv 2312.03732) instead of the rank.
        public var usesRSLoRA = false
        /// What A and B are before training; what is taken from the weight is subtracted from it.
        public var initLoRAWeights = Initialization.standard
        /// The dropout probability of an adapter's inputs.
        public var dropout = 0.0
        /// Modules that get adapters, by name or by a pattern of the full name.
        public var targetModules = ["linear_qkv", "linear_proj", "linear_fc1", "linear_fc2"]
        /// Modules excluded from the targets, by name or pattern.
        public var excludeModules: [String] = []
        /// Whether query, key, value, gate and up projections have separate adapters.
        public var canonical = false
        /// Whether the vision tower also gets adapters.
        public var visionLora = false
        /// Whether the language model gets adapters.
        public var finetuneLanguageLayers = true
        /// Whether the attention modules get adapters.
        public var finetuneAttentionModules = true
        /// Whether the MLP modules get adapters.
        public var finetuneMLPModules = true
        /// The learning rate of B and of magnitudes as a multiple of A's (LoRA+, Hayou et al., arXiv 2402.12354); nil for 1.
        public var loraPlusLRRatio: Double?
        /// Modules that are trained in full in addition to the adapters: `language_model`, `vision_tower`,
        /// `multi_modal_projector`, `word_embeddings`, `output_layer`.
        public var modulesToSave: [String] = []
        /// The adapter that training begins with, a directory or a hub id; empty for new adapters.
        public var adapterNameOrPath = ""

        /// The default.
        public init() {}
    }
}
