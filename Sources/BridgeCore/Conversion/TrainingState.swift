public import Adapters
public import TensorRuntime

/// What a training run puts into a checkpoint, all of it in memory: parameters, and what the optimizer keeps for them.
public struct TrainingState: Sendable {
    /// Numbers that the optimizer keeps for a parameter, in the parameter's shape.
    public struct Moment: Sendable {
        /// What they are: `main`, `exp_avg`, `exp_avg_sq` or `momentum`.
        public var kind: String
        /// Whose they are, by its name in the model.
        public var parameter: String
        /// The numbers.
        public var tensor: Tensor

        /// Numbers of a parameter.
        public init(kind: String, parameter: String, tensor: Tensor) {
            self.kind = kind
            self.parameter = parameter
            self.tensor = tensor
        }
    }

    /// The parameters: those of the model, or those of its adapters alone.
    public var parameters: [Parameter]
    /// The adapters whose parameters are among them, without the model's own; nil for a whole model.
    public var adapters: AdapterSet?
    /// What the optimizer keeps.
    public var moments: [Moment]

    /// A state.
    public init(parameters: [Parameter], adapters: AdapterSet? = nil, moments: [Moment]) {
        self.parameters = parameters
        self.adapters = adapters
        self.moments = moments
    }
}
