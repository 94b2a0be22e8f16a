extension Recipe {
    /// What is loaded and saved.
    public struct CheckpointSection: Sendable, Equatable {
        /// The weights to start from: a Megatron checkpoint or a Hugging Face directory; empty for random ones.
        public var pretrainedCheckpoint = ""
        /// Whether the weights are drawn anew, so that only configuration and tokenizer come from `pretrainedCheckpoint`.
        public var randomInit = false
        /// The directory of the run's checkpoints, from the newest of which a run goes on; empty for none.
        public var save = ""
        /// A directory with checkpoints to go on from; empty for `save`.
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
        /// The directory of the run's log and report, `log.jsonl` and `report.html`; empty for none.
        public var logDir = ""
        /// The directory of TensorBoard's event files; empty for none.
        public var tensorboardDir = ""
        /// Whether lines have the norm of all parameters.
        public var logParamsNorm = false
        /// Whether lines have operations per second.
        public var logThroughput = false
        /// The project at Weights & Biases, taken so that the commands of Megatron Bridge run; nothing is written for it.
        public var wandbProject = ""
        /// The run's name at Weights & Biases, likewise.
        public var wandbExpName = ""

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
