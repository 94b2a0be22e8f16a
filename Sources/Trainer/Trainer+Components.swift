public import BridgeCore
public import Communication

extension Trainer {
    /// The components of a run.
    public struct Components {
        /// The recipe, checked.
        public var recipe: Recipe
        /// The model, with the parts frozen that the recipe freezes.
        public var model: any CausalModel
        /// The model's adapters; nil for full training.
        public var adapters: AdapterSet?
        /// The training batches.
        public var samples: any BatchSource
        /// The validation batches by the name of their data set; empty for none.
        public var validation: [(name: String, batches: any BatchSource)]
        /// The pairs of a preference tuning; nil for supervised fine-tuning.
        public var pairs: PreferencePairs?
        /// The receivers of events.
        public var callbacks: [any TrainerCallback]
        /// The checkpoints; nil for a run without any.
        public var checkpoints: RunCheckpoints?
        /// Facts for reports.
        public var metadata: RunMetadata
        /// The trace of the run and its file; nil for none.
        public var trace: (events: ChromeTrace, path: String)?

        /// Components.
        public init(
            recipe: Recipe,
            model: any CausalModel,
            adapters: AdapterSet? = nil,
            samples: any BatchSource,
            validation: [(name: String, batches: any BatchSource)] = [],
            pairs: PreferencePairs? = nil,
            callbacks: [any TrainerCallback] = [],
            checkpoints: RunCheckpoints? = nil,
            metadata: RunMetadata,
            trace: (events: ChromeTrace, path: String)? = nil
        ) {
            self.recipe = recipe
            self.model = model
            self.adapters = adapters
            self.samples = samples
            self.validation = validation
            self.pairs = pairs
            self.callbacks = callbacks
            self.checkpoints = checkpoints
            self.metadata = metadata
            self.trace = trace
        }
    }
}
