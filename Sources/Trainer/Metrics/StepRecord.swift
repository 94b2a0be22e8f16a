/// The metrics of one step.
public struct StepRecord: Sendable, Equatable {
    /// The number of the step, from 1 on.
    public var iteration: Int
    /// The number of steps of the run.
    public var totalIterations: Int
    /// The number of consumed samples since the start of the run, including earlier processes.
    public var consumedSamples: Int
    /// The duration of the step, in seconds.
    public var seconds: Double
    /// How long the step waited for its samples to be read, tokenized and packed, and for their images, in seconds.
    public var dataSeconds: Double
    /// The number of tokens in the step, including padding.
    public var tokens: Int
    /// The number of supervised tokens.
    public var trainedTokens: Int
    /// The learning rate of the step: that of the parts without one of their own, or of the first part where each has one.
    public var learningRate: Double
    /// The learning rates of the parts that have one of their own, by their names.
    public var learningRates: [String: Double]
    /// The number of samples in the step.
    public var globalBatchSize: Int
    /// The mean loss over the supervised tokens of the step, or over its pairs of answers.
    public var loss: Double
    /// The global L2 norm of the gradient before clipping.
    public var gradientNorm: Double
    /// The metrics of pairs of answers; nil without any.
    public var preference: PreferenceMetrics?
    /// The L2 norm of all trained parameters; nil if it is not logged.
    public var parametersNorm: Double?
    /// Floating-point operations of the step, by the model's formula.
    public var operations: Double
    /// The number of steps skipped because of a loss spike.
    public var skippedIterations: Int
    /// The number of steps skipped because of a NaN or an infinity.
    public var nanIterations: Int

    /// A record.
    public init(
        iteration: Int,
        totalIterations: Int,
        consumedSamples: Int,
        seconds: Double,
        dataSeconds: Double = 0,
        tokens: Int,
        trainedTokens: Int,
        learningRate: Double,
        learningRates: [String: Double] = [:],
        globalBatchSize: Int,
        loss: Double,
        gradientNorm: Double,
        preference: PreferenceMetrics? = nil,
        parametersNorm: Double? = nil,
        operations: Double = 0,
        skippedIterations: Int = 0,
        nanIterations: Int = 0
    ) {
        self.iteration = iteration
        self.totalIterations = totalIterations
        self.consumedSamples = consumedSamples
        self.seconds = seconds
        self.dataSeconds = dataSeconds
        self.tokens = tokens
        self.trainedTokens = trainedTokens
        self.learningRate = learningRate
        self.learningRates = learningRates
        self.globalBatchSize = globalBatchSize
        self.loss = loss
        self.gradientNorm = gradientNorm
        self.preference = preference
        self.parametersNorm = parametersNorm
        self.operations = operations
        self.skippedIterations = skippedIterations
        self.nanIterations = nanIterations
    }
}

/// The metrics of a validation.
public struct ValidationRecord: Sendable, Equatable {
    /// The number of steps done so far.
    public var iteration: Int
    /// The mean loss over all supervised tokens of the validation samples.
    public var loss: Double
    /// The exponential of the loss; nil for pairs of answers.
    public var perplexity: Double?
    /// The share of supervised tokens that are the most likely ones; nil for pairs of answers.
    public var tokenAccuracy: Double?
    /// The duration, in seconds.
    public var seconds: Double
    /// The losses of the data sets, where there are several.
    public var parts: [Part]
    /// The metrics of pairs of answers; nil without any.
    public var preference: PreferenceMetrics?

    /// The loss of one of several data sets.
    public struct Part: Sendable, Equatable {
        /// The name of the data set.
        public var name: String
        /// The mean loss over its supervised tokens.
        public var loss: Double

        /// A loss.
        public init(name: String, loss: Double) { (self.name, self.loss) = (name, loss) }
    }

    /// A record.
    public init(
        iteration: Int,
        loss: Double,
        perplexity: Double?,
        tokenAccuracy: Double? = nil,
        seconds: Double,
        parts: [Part] = [],
        preference: PreferenceMetrics? = nil
    ) {
        self.parts = parts
        self.preference = preference
        self.iteration = iteration
        self.loss = loss
        self.perplexity = perplexity
        self.tokenAccuracy = tokenAccuracy
        self.seconds = seconds
    }
}
