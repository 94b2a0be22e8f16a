public import Adapters
public import TensorRuntime

/// The state of a training run for a checkpoint, in memory: parameters and the optimizer's values.
public struct TrainingState: Sendable {
    /// The optimizer's values for a parameter, in the parameter's shape.
    public struct Moment: Sendable {
        /// Their kind: `main`, `exp_avg`, `exp_avg_sq` or `momentum`.
        public var kind: String
        /// The name of their parameter in the model.
        public var parameter: String
        /// The values.
        public var tensor: Tensor
        /// The part of the whole matrix that they are for; nil for all of it.
        public var shard: ParameterShard?

        /// The values of a parameter.
        public init(kind: String, parameter: String, tensor: Tensor, shard: ParameterShard? = nil) {
            self.kind = kind
            self.parameter = parameter
            self.tensor = tensor
            self.shard = shard
        }
    }

    /// The parameters: those of the model, or those of its adapters alone.
    public var parameters: [Parameter]
    /// The adapters whose parameters are among them, without the model's own; nil for a whole model.
    public var adapters: AdapterSet?
    /// The optimizer's state.
    public var moments: [Moment]
    /// Whether the ranks with the same parameters each have a part of the optimizer's state.
    public var isDistributed: Bool
    /// The number of layers of each rank along the pipeline; empty for an even distribution.
    public var rankLayers: [Int]

    /// A state.
    public init(
        parameters: [Parameter],
        adapters: AdapterSet? = nil,
        moments: [Moment],
        isDistributed: Bool = false,
        rankLayers: [Int] = []
    ) {
        self.rankLayers = rankLayers
        self.isDistributed = isDistributed
        self.parameters = parameters
        self.adapters = adapters
        self.moments = moments
    }
}
