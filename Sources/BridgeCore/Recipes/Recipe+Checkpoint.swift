public import JSONTree
public import ModelSchema

extension Recipe {
    /// The checkpoints to load and to save.
    public struct CheckpointSection: Sendable, Equatable {
        /// The weights to start from: a Megatron checkpoint or a Hugging Face directory; empty for random ones.
        public var pretrainedCheckpoint = ""
        /// Whether weights are initialized at random; `pretrainedCheckpoint` then provides configuration and tokenizer only.
        public var randomInit = false
        /// The directory of the run's checkpoints, of which the newest is resumed; empty for none.
        public var save = ""
        /// A directory with checkpoints to resume from, or one of its iterations; empty for `save`.
        public var load = ""
        /// The iteration of `load` to resume from; nil for the newest.
        public var ckptStep: Int?
        /// The number of steps between two checkpoints.
        public var saveInterval = 50
        /// The number of checkpoints in a pass over the training samples, instead of `saveInterval`.
        public var savesPerEpoch: Int?
        /// Whether a checkpoint is written after the first step too.
        public var saveFirstStep = false
        /// Whether each validation with the smallest loss so far is followed by a checkpoint, and the best one is kept.
        public var keepBest = false
        /// The number of checkpoints to keep; 0 for all.
        public var mostRecentK = 0
        /// Whether the state of the optimizer is saved.
        public var saveOptim = true
        /// Whether a checkpoint is written in the background while training continues.
        public var asyncSave = true
        /// Which checkpoints have a Hugging Face directory too.
        public var alsoSaveHFCheckpoint = HuggingFaceSave.none
        /// A command of the shell that is run after each checkpoint; empty for none.
        public var afterSave = ""
        /// The container of the checkpoints.
        public var ckptFormat = Container.native

        /// Which checkpoints of a run have a directory `hf` with the model, or the adapter, in the form of Hugging Face.
        public enum HuggingFaceSave: Sendable, ConfigurationValue {
            /// None.
            case none
            /// All.
            case each
            /// That of the end of the run.
            case last

            /// "true, false or last".
            public static var expectation: String { "true, false or last" }

            /// A choice; true and false are those of Megatron Bridge.
            public init?(json: JSON) {
                switch json {
                case false: self = .none
                case true: self = .each
                case "last": self = .last
                default: return nil
                }
            }

            /// The choice as it is written.
            public var json: JSON {
                switch self {
                case .none: false
                case .each: true
                case .last: "last"
                }
            }
        }

        /// A container of checkpoints.
        public enum Container: String, Sendable, CaseIterable {
            /// Bridge's own.
            case native
            /// Megatron-Core's.
            case torchDist = "torch_dist"
        }

        /// The default.
        public init() {}
    }

    /// The logs.
    public struct LoggerSection: Sendable, Equatable {
        /// The number of steps between two lines of console output.
        public var logInterval = 10
        /// The directory of the run's log and report, `log.jsonl` and `report.html`; empty for none.
        public var logDir = ""
        /// The directory of TensorBoard's event files; empty for none.
        public var tensorboardDir = ""
        /// Whether the norm of all parameters is logged.
        public var logParamsNorm = false
        /// Whether floating-point operations per second are logged.
        public var logThroughput = false
        /// The lines of console output.
        public var format = LineFormat.auto
        /// The project at Weights & Biases that the run is sent to; empty for none.
        public var wandbProject = ""
        /// The run's name at Weights & Biases; empty for one that it chooses.
        public var wandbExpName = ""
        /// The user or team that the project belongs to; empty for the user's own.
        public var wandbEntity = ""
        /// The directory of the files of Weights & Biases; empty for `logDir`.
        public var wandbSaveDir = ""
        /// The experiment of an MLflow server that the run is sent to; empty for none.
        public var mlflowExperiment = ""
        /// The run's name there; empty for one that the server chooses.
        public var mlflowRunName = ""
        /// The address of the server; empty for that of the environment.
        public var mlflowTrackingURI = ""

        /// The form of the lines of a run.
        public enum LineFormat: String, Sendable, CaseIterable {
            /// `compact` on a terminal, `megatron` elsewhere.
            case auto
            /// A short line, and on a terminal one that is redrawn after each step.
            case compact
            /// The line of Megatron's training log.
            case megatron
        }

        /// The default.
        public init() {}
    }

    /// The connection of ranks.
    public struct DistSection: Sendable, Equatable {
        /// The number of minutes that a rank waits for others before the run ends.
        public var distributedTimeoutMinutes = 10.0

        /// The default.
        public init() {}
    }

    /// Random number generation.
    public struct RNGSection: Sendable, Equatable {
        /// The seed of all random numbers of a run.
        public var seed: UInt64 = 1234

        /// The default.
        public init() {}
    }
}
