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
        /// The highest learning rate.
        public var lr = 5e-6
        /// The lowest learning rate.
        public var minLR = 0.0
        /// What parameters shrink by, times the learning rate; 1-D parameters do not.
        public var weightDecay = 0.1
        /// AdamW's first decay rate.
        public var adamBeta1 = 0.9
        /// AdamW's second decay rate.
        public var adamBeta2 = 0.95
        /// What AdamW adds to the root of the second moment.
        public var adamEps = 1e-5
        /// The momentum of SGD.
        public var sgdMomentum = 0.9
        /// The largest global norm of a gradient; 0 for no limit.
        public var clipGrad = 1.0

        /// The default.
        public init() {}
    }

    /// The course of the learning rate and the weight decay.
    public struct SchedulerSection: Sendable, Equatable {
        /// The course behind the warm-up.
        public enum Style: String, Sendable, CaseIterable {
            /// A straight line.
            case linear
            /// Half a wave.
            case cosine
            /// No change.
            case constant
            /// One over the root of the step.
            case inverseSquareRoot = "inverse-square-root"
            /// Constant, with a decay at the end.
            case wsd = "WSD"
        }

        /// The course behind the warm-up.
        public var lrDecayStyle = Style.cosine
        /// How many steps the warm-up has.
        public var lrWarmupIters = 50
        /// The warm-up's part of the decay steps; nil for `lrWarmupIters`.
        public var lrWarmupFraction: Double?
        /// The learning rate at the beginning of the warm-up.
        public var lrWarmupInit = 0.0
        /// After how many steps the lowest rate is reached; nil for `train.trainIters`.
        public var lrDecayIters: Int?
        /// The course of the decay of WSD: linear, cosine, exponential or minus_sqrt.
        public var lrWSDDecayStyle = WSDDecay.exponential
        /// How many steps the decay of WSD has.
        public var lrWSDDecayIters: Int?
        /// The weight decay at the beginning; nil for `optimizer.weightDecay`.
        public var startWeightDecay: Double?
        /// The weight decay at the end; nil for `optimizer.weightDecay`.
        public var endWeightDecay: Double?
        /// The course of the weight decay: constant, linear or cosine.
        public var weightDecayIncrStyle = WeightDecayStyle.constant

        /// The default.
        public init() {}
    }

    /// The course of the decay of WSD.
    public enum WSDDecay: String, Sendable, CaseIterable {
        /// A straight line.
        case linear
        /// Half a wave.
        case cosine
        /// Half as much after the same time, shifted so that it ends at the lowest rate.
        case exponential
        /// One less the root of the part that is behind.
        case minusSquareRoot = "minus_sqrt"
    }

    /// The course of the weight decay.
    public enum WeightDecayStyle: String, Sendable, CaseIterable {
        /// No change.
        case constant
        /// A straight line.
        case linear
        /// Half a wave.
        case cosine
    }
}
