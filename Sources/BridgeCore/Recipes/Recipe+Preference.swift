extension Recipe {
    /// Preference tuning: training on pairs of a chosen and a rejected answer.
    public struct PreferenceSection: Sendable, Equatable {
        /// The loss of a pair.
        public enum LossType: String, Sendable, CaseIterable {
            /// None: supervised fine-tuning.
            case none
            /// Direct preference optimization (Rafailov et al., arXiv 2305.18290); trl's `sigmoid`.
            case dpo
            /// Identity preference optimization (Azar et al., arXiv 2310.12036), with means over tokens as in trl.
            case ipo
            /// Odds ratio preference optimization (Hong et al., arXiv 2403.07691), which has no reference model.
            case orpo
        }

        /// The loss.
        public var lossType = LossType.none
        /// The strength of the preference: how far the model may move from the reference, or the weight of ORPO's odds ratio.
        public var beta = 0.1
        /// The probability that chosen and rejected are the wrong way round, for DPO (Mitchell, "A note on DPO with noisy
        /// preferences", 2023).
        public var labelSmoothing = 0.0

        /// The default.
        public init() {}

        /// Whether pairs are trained.
        public var isOn: Bool { lossType != .none }
        /// Whether the loss compares with the model before training.
        public var needsReference: Bool { lossType == .dpo || lossType == .ipo }
        /// The number of sequences of a sample.
        public var sequencesPerSample: Int { isOn ? 2 : 1 }
    }
}
