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
        /// The directory that image paths are relative to; empty for the directory of the file.
        public var imageFolder = ""
        /// The maximum length of a sample, in tokens.
        public var seqLength = 4096
        /// Whether samples are shuffled in each epoch.
        public var shuffle = true
        /// Whether several samples are packed into one row.
        public var packSequencesInBatch = false
        /// Which tokens of a conversation are supervised.
        public var lossMode = LossMode.assistant
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
    }

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

        /// The kind of adapter.
        public var scheme = Scheme.none
        /// The rank.
        public var dim = 32
        /// The scaling numerator: an adapter's output is multiplied by alpha / dim, or alpha / sqrt(dim) with ``usesRSLoRA``.
        public var alpha = 32.0
        /// Whether alpha is divided by the square root of the rank (Kalajdzievski, arXiv 2312.03732) instead of the rank.
        public var usesRSLoRA = false
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
        /// Modules that are trained in full in addition to the adapters: `language_model`, `vision_tower`,
        /// `multi_modal_projector`, `word_embeddings`, `output_layer`.
        public var modulesToSave: [String] = []

        /// The default.
        public init() {}
    }
}
