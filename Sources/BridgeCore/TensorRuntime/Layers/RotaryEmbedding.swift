import Glibc

/// The angles by which positions rotate the pairs of a head.
public struct RotaryEmbedding: Sendable, Equatable {
    /// The angle of one position for each pair; half as many as a head is wide.
    public let frequencies: [Float]
    /// The factor of cosines and sines.
    public let factor: Float

    /// An embedding with the given frequencies.
    public init(frequencies: [Float], factor: Float = 1) {
        self.frequencies = frequencies
        self.factor = factor
    }

    /// The frequencies `base^(-2j / width)`, all divided by `factor`.
    ///
    /// Every step rounds to float32, as torch does: at positions beyond 100,000 an angle has hardly a digit to spare.
    /// The power is rounded correctly; torch's own vector code differs from that in the last bit of about one power in a
    /// hundred, and not in the same one on every processor.
    ///
    /// Source: `compute_default_rope_parameters` and `_compute_linear_scaling_rope_parameters`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - width: Elements of a head, even.
    ///   - base: The base.
    ///   - factor: The ratio of the scaled context length to the original one.
    public init(width: Int, base: Double, factor: Double = 1) {
        self.init(frequencies: Self.powers(width: width, base: base).map { 1 / $0 / Float(factor) })
    }

    /// `base^(2j / width)` in float32.
    private static func powers(width: Int, base: Double) -> [Float] {
        (0..<width / 2).map { Float(pow(Double(Float(base)), Double(Float(2 * $0) / Float(width)))) }
    }

    /// YaRN: low frequencies are interpolated, high ones stay, with a ramp between (Peng et al., arXiv 2309.00071).
    ///
    /// Source: `_compute_yarn_parameters` in `modeling_rope_utils.py`, transformers 5.23; bounds in double, tensors in float32.
    ///
    /// - Parameters:
    ///   - width: Elements of a head, even.
    ///   - base: The base.
    ///   - yarn: The parameters.
    public init(width: Int, base: Double, yarn: YaRN) {
        func pair(rotations: Double) -> Double {
            Double(width) * log(Double(yarn.originalLength) / (rotations * 2 * .pi)) / (2 * log(base))
        }
        var (low, high) = (pair(rotations: yarn.betaFast), pair(rotations: yarn.betaSlow))
        if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(width - 1)))
        if low == high { high += 0.001 }
        let frequencies = Self.powers(width: width, base: base).enumerated().map { index, power -> Float in
            let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
            let (extrapolated, interpolated) = (1 / power, 1 / (Float(yarn.factor) * power))
            let share = 1 - ramp
            // Two roundings, as torch's two products; a fused one would differ in the last bit.
            let (slow, fast) = (interpolated * (1 - share), extrapolated * share)
            return slow + fast
        }
        self.init(frequencies: frequencies, factor: Float(yarn.attentionFactor))
    }

    /// Llama 3's scaling: long wavelengths are divided by the factor, short ones stay, with a smooth part between.
    ///
    /// Source: `_compute_llama3_parameters` in `modeling_rope_utils.py`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - width: Elements of a head, even.
    ///   - base: The base.
    ///   - llama3: The parameters.
    public init(width: Int, base: Double, llama3: Llama3) {
        let (length, factor) = (Double(llama3.originalLength), Float(llama3.factor))
        let longest = Float(length / llama3.lowFrequencyFactor)
        let shortest = Float(length / llama3.highFrequencyFactor)
        self.init(
            frequencies: Self.powers(width: width, base: base).map { power in
                let frequency = 1 / power
                let wavelength = 1 / frequency * Float(2 * Double.pi)
                if wavelength > longest { return frequency / factor }
                if wavelength < shortest { return frequency }
                let smooth =
                    (1 / wavelength * Float(length) - Float(llama3.lowFrequencyFactor))
                    / Float(llama3.highFrequencyFactor - llama3.lowFrequencyFactor)
                let (slow, fast) = ((1 - smooth) * frequency / factor, smooth * frequency)
                return slow + fast
            }
        )
    }

    /// The parameters of Llama 3's scaling.
    public struct Llama3: Sendable, Equatable {
        /// The ratio of the scaled context length to the original one.
        public var factor: Double
        /// The original context length.
        public var originalLength: Int
        /// Wavelengths above the original length divided by this are scaled in full.
        public var lowFrequencyFactor: Double
        /// Wavelengths below the original length divided by this stay as they are.
        public var highFrequencyFactor: Double

        /// The parameters.
        public init(factor: Double, originalLength: Int, lowFrequencyFactor: Double, highFrequencyFactor: Double) {
            self.factor = factor
            self.originalLength = originalLength
            self.lowFrequencyFactor = lowFrequencyFactor
            self.highFrequencyFactor = highFrequencyFactor
        }
    }

    /// The parameters of YaRN.
    public struct YaRN: Sendable, Equatable {
        /// The ratio of the scaled context length to the original one.
        public var factor: Double
        /// The original context length.
        public var originalLength: Int
        /// Pairs with more rotations than this over the original length stay as they are.
        public var betaFast: Double
        /// Pairs with fewer rotations than this are interpolated in full.
        public var betaSlow: Double
        /// Whether the ends of the ramp are rounded to whole pairs.
        public var truncates: Bool
        /// The factor of cosines and sines.
        public var attentionFactor: Double

        /// The parameters.
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

    /// Cosines and sines of angles that are computed by the caller, such as those of positions in an image.
    public func angles(_ values: [Float], batch: Int, on engine: any TensorEngine) -> RotaryAngles {
        let pairs = frequencies.count
        let shape = [batch, values.count / max(batch * pairs, 1), pairs]
        return RotaryAngles(
            cosines: Tensor(values.map { cos($0) * factor }, shape: shape, on: engine),
            sines: Tensor(values.map { sin($0) * factor }, shape: shape, on: engine)
        )
    }
}
