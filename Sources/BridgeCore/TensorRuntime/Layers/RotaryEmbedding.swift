import Glibc

/// The angles by which positions rotate the pairs of a head.
public struct RotaryEmbedding: Sendable, Equatable {
    /// The angle of one position for each pair; half as many as a head is wide.
    public let frequencies: [Float]
    /// What cosines and sines are multiplied by.
    public let factor: Float

    /// An embedding with frequencies of its own.
    public init(frequencies: [Float], factor: Float = 1) {
        self.frequencies = frequencies
        self.factor = factor
    }

    /// The frequencies `base^(-2j / width)`, all divided by `stretch`.
    ///
    /// - Parameters:
    ///   - width: Elements of a head, even.
    ///   - base: The base.
    ///   - stretch: How many times longer sequences are than those of the first training.
    public init(width: Int, base: Double, stretch: Double = 1) {
        self.init(frequencies: (0..<width / 2).map { Float(1 / (pow(base, Double(2 * $0) / Double(width)) * stretch)) })
    }

    /// YaRN: slow pairs are stretched, fast ones stay, and a ramp lies between (Peng et al., arXiv 2309.00071).
    ///
    /// Source: `_compute_yarn_parameters` in `modeling_rope_utils.py`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - width: Elements of a head, even.
    ///   - base: The base.
    ///   - yarn: The numbers.
    public init(width: Int, base: Double, yarn: YaRN) {
        func pair(turns: Double) -> Double {
            Double(width) * log(Double(yarn.originalLength) / (turns * 2 * .pi)) / (2 * log(base))
        }
        var (low, high) = (pair(turns: yarn.betaFast), pair(turns: yarn.betaSlow))
        if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(width - 1)))
        if low == high { high += 0.001 }
        let frequencies = (0..<width / 2).map { index -> Float in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            let frequency = 1 / pow(base, Double(2 * index) / Double(width))
            return Float(frequency / yarn.factor * ramp + frequency * (1 - ramp))
        }
        self.init(frequencies: frequencies, factor: Float(yarn.attentionFactor))
    }

    /// The numbers of YaRN.
    public struct YaRN: Sendable, Equatable {
        /// How many times longer sequences are than `originalLength`.
        public var factor: Double
        /// The length of the first training.
        public var originalLength: Int
        /// Pairs that turn more often than this over the original length stay as they are.
        public var betaFast: Double
        /// Pairs that turn less often than this are stretched in full.
        public var betaSlow: Double
        /// Whether the ends of the ramp are rounded to whole pairs.
        public var truncates: Bool
        /// What cosines and sines are multiplied by.
        public var attentionFactor: Double

        /// The numbers.
        public init(
            factor: Double,
            originalLength: Int,
            betaFast: Double,
            betaSlow: Double,
            truncates: Bool,
            attentionFactor: Double
        ) {
            self.factor = factor
            self.originalLength = originalLength
            self.betaFast = betaFast
            self.betaSlow = betaSlow
            self.truncates = truncates
            self.attentionFactor = attentionFactor
        }
    }

    /// Cosines and sines of positions.
    ///
    /// - Parameters:
    ///   - positions: B x T positions, row by row.
    ///   - batch: B.
    ///   - engine: Where the angles are needed.
    /// - Returns: float32 [B, T, width / 2].
    public func angles(_ positions: [Int32], batch: Int = 1, on engine: any TensorEngine) -> RotaryAngles {
        angles(positions.flatMap { position in frequencies.map { Float(position) * $0 } }, batch: batch, on: engine)
    }

    /// Cosines and sines of angles that are made elsewhere, such as those of places in a picture.
    public func angles(_ values: [Float], batch: Int, on engine: any TensorEngine) -> RotaryAngles {
        let pairs = frequencies.count
        let shape = [batch, values.count / max(batch * pairs, 1), pairs]
        return RotaryAngles(
            cosines: Tensor(values.map { cos($0) * factor }, shape: shape, on: engine),
            sines: Tensor(values.map { sin($0) * factor }, shape: shape, on: engine)
        )
    }
}
