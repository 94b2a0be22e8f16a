/// A rule that every plugin keeps, in the order in which they are checked.
public enum ConformanceRule: String, Sendable, CaseIterable {
    /// The configurations of the toy recipe are supported models.
    case configurations
    /// Every key of the settings files has a verdict.
    case settings
    /// A configuration is written as it was read, unknown keys included.
    case configurationRoundTrip = "configuration_round_trip"
    /// Every honoured key reaches the provider, and comes back from it.
    case configurationKeys = "configuration_keys"
    /// The patterns of a line of the parameter table have the same wildcards on both sides.
    case wildcards
    /// Every parameter and every tensor is in the parameter table once.
    case names
    /// The shapes of the parameter table follow from the configuration.
    case shapes
    /// Every transform of the parameter table keeps all elements and has an inverse.
    case transforms
    /// The model reads every parameter of the table and no other.
    case weights
    /// Every parameter is split across tensor ranks and stages as the model computes with it.
    case splits
    /// Initial values of norms and biases are neutral.
    case initialValues = "initial_values"
    /// Import and export give the files of the source.
    case roundTrip = "round_trip"
    /// The parts of every layout are the whole.
    case layouts
    /// The same through Megatron-Core's container.
    case torchDist = "torch_dist"
    /// Freezing a part of the model freezes its parameters and no others.
    case freezing
    /// Cached decoding gives the logits of one pass.
    case decoding
    /// Two tensor-parallel ranks give the logits of one rank.
    case tensorParallel = "tensor_parallel"
    /// Two pipeline stages give the logits of one rank.
    case pipelineParallel = "pipeline_parallel"
    /// Every trained parameter has a finite gradient that is not zero.
    case gradients
    /// Adapters under Hugging Face's names compute what those of the model do.
    case adapters
    /// A checkpoint of the fixture is converted both ways.
    case checkpoint
    /// The logits are those of the reference program.
    case parity

    /// The rule in one sentence.
    public var summary: String {
        switch self {
        case .configurations: "the configurations of the toy recipe are supported models"
        case .settings: "every key of the settings files has a verdict"
        case .configurationRoundTrip: "a configuration is written as it was read, unknown keys included"
        case .configurationKeys: "every honoured key reaches the provider and comes back from it"
        case .wildcards: "both sides of a line of the parameter table have the same wildcards"
        case .names: "every parameter and every tensor is in the parameter table once"
        case .shapes: "the shapes of the parameter table follow from the configuration"
        case .transforms: "every transform keeps all elements and has an inverse"
        case .weights: "the model reads every parameter of the table and no other"
        case .splits: "every parameter is split as the model computes with it"
        case .initialValues: "initial values of norms and biases are neutral"
        case .roundTrip: "import and export give the files of the source"
        case .layouts: "the parts of every layout are the whole"
        case .torchDist: "the same through the container torch_dist"
        case .freezing: "freezing a part freezes its parameters and no others"
        case .decoding: "cached decoding gives the logits of one pass"
        case .tensorParallel: "two tensor-parallel ranks give the logits of one"
        case .pipelineParallel: "two pipeline stages give the logits of one rank"
        case .gradients: "every trained parameter has a finite gradient that is not zero"
        case .adapters: "adapters in PEFT's format compute what those of the model do"
        case .checkpoint: "the checkpoint of the fixture is converted both ways"
        case .parity: "the logits are those of the reference program"
        }
    }

    /// Whether the model has to run.
    var needsModel: Bool {
        switch self {
        case .weights, .splits, .initialValues, .freezing, .decoding, .tensorParallel, .pipelineParallel, .gradients,
            .adapters, .parity:
            true
        case .configurations, .settings, .configurationRoundTrip, .configurationKeys, .wildcards, .names, .shapes,
            .transforms, .roundTrip, .layouts, .torchDist, .checkpoint:
            false
        }
    }

    /// The rules without which this one cannot be checked.
    var requirements: [ConformanceRule] {
        switch self {
        case .configurations: []
        case .settings, .configurationRoundTrip, .configurationKeys, .wildcards: [.configurations]
        case .names, .shapes, .transforms: [.wildcards]
        case .weights, .roundTrip, .checkpoint: [.names, .transforms]
        case .layouts, .torchDist: [.roundTrip]
        case .splits, .initialValues, .freezing, .decoding, .gradients: [.weights]
        case .tensorParallel, .pipelineParallel: [.weights, .splits]
        case .adapters: [.weights, .roundTrip]
        case .parity: [.weights, .checkpoint]
        }
    }
}
