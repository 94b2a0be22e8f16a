extension Recipe {
    /// The optimizer.
    public struct OptimizerSection: Sendable, Equatable {
        /// Which one.
        public enum Kind: String, Sendable, CaseIterable {
            /// AdamW: decoupled weight decay.
            case adam
            /// Stochastic gradient descent with momentum.
            case sgd
        }

        /// Which one.
        public var optimizer = Kind.adam
        /// Whether ranks with the same parameters share the optimizer's state (ZeRO-1) instead of each having all of it.
        public var useDistributedOptimizer = true
        /// The maximum learning rate.
        public var lr = 5e-6
        /// The minimum learning rate.
        public var minLR = 0.0
        /// The weight decay; 1-D parameters have none.
        public var weightDecay = 0.1
        /// AdamW's first decay rate.
        public var adamBeta1 = 0.9
        /// AdamW's second decay rate.
        public var adamBeta2 = 0.95
        /// AdamW's epsilon, added to the square root of the second moment.
        public var adamEps = 1e-5
        /// The momentum of SGD.
        public var sgdMomentum = 0.9
        /// The maximum global norm of the gradients; 0 for no clipping.
        public var clipGrad = 1.0
        /// A step with a larger global norm of the gradients, before clipping, is skipped; nil for none.
        public var gradNormSkipThreshold: Double?
        /// The maximum learning rate of the vision tower; nil for ``lr``.
        public var visionModelLR: Double?
        /// The maximum learning rate of the multi-modal projector; nil for ``lr``.
        public var visionProjectionLR: Double?
        /// The maximum learning rate of the word embedding and the output layer; nil for ``lr``.
        public var embeddingLR: Double?
        /// The maximum learning rate of adapters; nil for ``lr``.
        public var adapterLR: Double?

        /// The default.
        public init() {}
    }

    /// The schedule of learning rate and weight decay.
    public struct SchedulerSection: Sendable, Equatable {
        /// The decay style after the warm-up.
        public enum Style: String, Sendable, CaseIterable {
            /// Linear.
            case linear
            /// Cosine.
            case cosine
            /// Constant.
            case constant
            /// The inverse square root of the step.
            case inverseSquareRoot = "inverse-square-root"
            /// Warmup-stable-decay: constant, with a decay at the end.
            case wsd = "WSD"
        }

        /// The decay style after the warm-up.
        public var lrDecayStyle = Style.cosine
        /// The number of warm-up steps.
        public var lrWarmupIters = 50
        /// The warm-up as a fraction of the decay steps; nil for `lrWarmupIters`.
        public var lrWarmupFraction: Double?
        /// The initial learning rate of the warm-up.
        public var lrWarmupInit = 0.0
        /// The step at which the minimum learning rate is reached; nil for `train.trainIters`.
        public var lrDecayIters: Int?
        /// The same as a fraction of the run's steps; nil for `lrDecayIters`.
        public var lrDecayFraction: Double?
        /// The style of WSD's final decay: linear, cosine, exponential or minus_sqrt.
        public var lrWSDDecayStyle = WSDDecay.exponential
        /// The number of steps of WSD's final decay.
        public var lrWSDDecayIters: Int?
        /// The same as a fraction of the decay steps; nil for `lrWSDDecayIters`.
        public var lrWSDDecayFraction: Double?
        /// The weight decay at the first step; nil for `optimizer.weightDecay`.
        public var startWeightDecay: Double?
        /// The weight decay at the last step; nil for `optimizer.weightDecay`.
        public var endWeightDecay: Double?
        /// The schedule of the weight decay: constant, linear or cosine.
        public var weightDecayIncrStyle = WeightDecayStyle.constant

        /// The default.
        public init() {}

        /// The step at which the minimum learning rate is reached; not an integer if it is a fraction of a run's steps.
        ///
        /// - Parameter trainIters: The number of steps of the run.
        /// - Returns: The number of steps.
        public func decaySteps(of trainIters: Int) -> Double {
            lrDecayFraction.map { $0 * Double(trainIters) } ?? Double(lrDecayIters ?? trainIters)
        }
    }

    /// The style of WSD's final decay.
    public enum WSDDecay: String, Sendable, CaseIterable {
        /// Linear.
        case linear
        /// Cosine.
        case cosine
        /// Exponential, shifted so that it ends at the minimum learning rate.
        case exponential
        /// One minus the square root of the completed fraction.
        case minusSquareRoot = "minus_sqrt"
    }

    /// The schedule of the weight decay.
    public enum WeightDecayStyle: String, Sendable, CaseIterable {
        /// Constant.
        case constant
        /// Linear.
        case linear
        /// Cosine.
        case cosine
    }
}
