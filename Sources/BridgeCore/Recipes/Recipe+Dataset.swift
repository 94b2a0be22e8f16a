extension Recipe {
    /// The samples.
    public struct DatasetSection: Sendable, Equatable {
        /// What kind of source there is.
        public enum Kind: String, Sendable, CaseIterable {
            /// Made-up images with one question and answer.
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
        /// Directory, file or hub id of the data; empty for the maker's own.
        public var pathOrDataset = ""
        /// The file with the samples to train on, for `preloaded` and `tokenized`.
        public var trainDataPath = ""
        /// The file with the samples to validate on; empty for none.
        public var validDataPath = ""
        /// The directory that image paths in the data are relative to; empty for the file's own.
        public var imageFolder = ""
        /// The longest sample, in tokens.
        public var seqLength = 4096
        /// Whether samples come in another order in each epoch.
        public var shuffle = true
        /// Whether several samples share one row.
        public var packSequencesInBatch = false
        /// Which tokens of a conversation are supervised.
        public var lossMode = LossMode.assistant
        /// The date that chat templates write, as yyyy-mm-dd; empty for that of the run's first day.
        public var date = ""
        /// How many threads prepare samples.
        public var numWorkers = 2
        /// What the lengths of rows are multiples of.
        public var padToMultipleOf = 1
        /// Pictures in a made-up sample.
        public var numImages = 1

        /// The default.
        public init() {}
    }

    /// Which tokens of a conversation are supervised.
    public enum LossMode: String, Sendable, CaseIterable {
        /// What the assistant says, with the token that ends its turn.
        case assistant
        /// The last thing that the assistant says.
        case lastTurn = "last_turn"
        /// Everything but images.
        case full
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
        /// What the adapters' output is multiplied by, times the rank, or times its root with ``usesRSLoRA``.
        public var alpha = 32.0
        /// Whether the root of the rank divides alpha (Kalajdzievski, arXiv 2312.03732), not the rank itself.
        public var usesRSLoRA = false
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
        /// `multi_modal_projector`, `word_embeddings`, `output_layer`.
        public var modulesToSave: [String] = []

        /// The default.
        public init() {}
    }
}
