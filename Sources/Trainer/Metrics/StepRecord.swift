/// What is known of one step once it is done.
public struct StepRecord: Sendable, Equatable {
    /// The number of the step, from 1 on.
    public var iteration: Int
    /// How many steps the run has.
    public var totalIterations: Int
    /// How many samples have been used since the beginning of the run, those of earlier processes included.
    public var consumedSamples: Int
    /// How long the step took, in seconds.
    public var seconds: Double
    /// Tokens that went through the model in the step, padding included.
    public var tokens: Int
    /// Tokens whose prediction the loss is made of.
    public var trainedTokens: Int
    /// The learning rate of the step.
    public var learningRate: Double
    /// Samples in the step.
    public var globalBatchSize: Int
    /// The mean loss over the step's trained tokens.
    public var loss: Double
    /// The global L2 norm of the gradient before clipping.
    public var gradientNorm: Double
    /// The L2 norm of all trained parameters; nil where it was not asked for.
    public var parametersNorm: Double?
    /// Floating-point operations of the step, by the model's formula.
    public var operations: Double
    /// Steps that were left out so far because of a spike.
    public var skippedIterations: Int
    /// Steps that were left out so far because of a NaN or an infinity.
    public var nanIterations: Int

    /// A record.
    public init(
        iteration: Int,
        totalIterations: Int,
        consumedSamples: Int,
        seconds: Double,
        tokens: Int,
        trainedTokens: Int,
        learningRate: Double,
        globalBatchSize: Int,
        loss: Double,
        gradientNorm: Double,
        parametersNorm: Double? = nil,
        operations: Double = 0,
        skippedIterations: Int = 0,
        nanIterations: Int = 0
    ) {
        self.iteration = iteration
        self.totalIterations = totalIterations
        self.consumedSamples = consumedSamples
        self.seconds = seconds
        self.tokens = tokens
        self.trainedTokens = trainedTokens
        self.learningRate = learningRate
        self.globalBatchSize = globalBatchSize
        self.loss = loss
        self.gradientNorm = gradientNorm
        self.parametersNorm = parametersNorm
        self.operations = operations
        self.skippedIterations = skippedIterations
        self.nanIterations = nanIterations
    }
}

/// What a validation has found.
public struct ValidationRecord: Sendable, Equatable {
    /// The number of steps done so far.
    public var iteration: Int
    /// The mean loss over all trained tokens of the validation's samples.
    public var loss: Double
    /// The exponential of the loss.
    public var perplexity: Double
    /// How long it took, in seconds.
    public var seconds: Double

    /// A record.
    public init(iteration: Int, loss: Double, perplexity: Double, seconds: Double) {
        self.iteration = iteration
        self.loss = loss
        self.perplexity = perplexity
        self.seconds = seconds
    }
}

/// What stays the same over a run, for reports.
public struct RunMetadata: Sendable, Equatable {
    /// The name of the recipe.
    public var name: String
    /// Facts in the order in which a reader wants them: model, parameters, machine, data, and so on.
    public var metadata: [(name: String, value: String)]

    /// Facts.
    public init(name: String, metadata: [(name: String, value: String)]) {
        self.name = name
        self.metadata = metadata
    }

    /// Whether name and metadata are equal.
    public static func == (left: RunMetadata, right: RunMetadata) -> Bool {
        left.name == right.name && left.metadata.elementsEqual(right.metadata, by: ==)
    }
}
