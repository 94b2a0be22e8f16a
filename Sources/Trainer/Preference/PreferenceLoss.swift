import Foundation
public import Recipes

/// The loss of a pair of answers, from the logarithms of their probabilities.
public struct PreferenceLoss: Sendable {
    /// The settings.
    public let section: Recipe.PreferenceSection

    /// A loss.
    public init(_ section: Recipe.PreferenceSection) { self.section = section }

    /// What is known of an answer.
    public struct Answer: Sendable, Equatable {
        /// The logarithm of its probability: the sum over its tokens.
        public var logProbability: Double
        /// The same under the reference model; 0 where there is none.
        public var reference: Double
        /// The number of its tokens.
        public var tokens: Int

        /// An answer.
        public init(logProbability: Double, reference: Double = 0, tokens: Int) {
            (self.logProbability, self.reference, self.tokens) = (logProbability, reference, tokens)
        }
    }

    /// The loss of a pair, without the cross entropy that ORPO adds.
    public struct Value: Sendable, Equatable {
        /// The loss.
        public var loss = 0.0
        /// The derivative of the loss by the chosen answer's log-probability.
        public var chosenSlope = 0.0
        /// The derivative of the loss by the rejected answer's log-probability.
        public var rejectedSlope = 0.0
        /// The implicit reward of the chosen answer.
        public var chosenReward = 0.0
        /// The implicit reward of the rejected answer.
        public var rejectedReward = 0.0
    }

    /// The loss of a pair; zero where truncation has left one of the answers no token.
    ///
    /// With `d` the difference of the log-probabilities to the reference's, chosen less rejected, and `σ` the logistic function:
    ///
    /// - DPO: `-(1 - s) log σ(β d) - s log σ(-β d)` with the label smoothing `s` (Rafailov et al., arXiv 2305.18290, equation 7);
    /// - IPO: `(d - 1 / (2 β))²` with `d` of means over tokens (Azar et al., arXiv 2310.12036, equation 17);
    /// - ORPO: `-β log σ(log odds(chosen) - log odds(rejected))`, where the odds `p / (1 - p)` are those of the geometric mean of
    ///   the probabilities of the tokens (Hong et al., arXiv 2403.07691, equations 4 and 7).
    ///
    /// The rewards are `β` times the differences to the reference, and for ORPO `β` times the means of log-probabilities, as in
    /// trl 1.16.
    public func value(chosen: Answer, rejected: Answer) -> Value {
        guard chosen.tokens > 0, rejected.tokens > 0 else { return Value() }
        let beta = section.beta
        let differences = (chosen.logProbability - chosen.reference, rejected.logProbability - rejected.reference)
        var value = Value()
        (value.chosenReward, value.rejectedReward) = (beta * differences.0, beta * differences.1)
        let (chosenCount, rejectedCount) = (Double(chosen.tokens), Double(rejected.tokens))
        switch section.lossType {
        case .none: break
        case .dpo:
            let z = beta * (differences.0 - differences.1)
            let smoothing = section.labelSmoothing
            value.loss = (1 - smoothing) * Self.softplus(-z) + smoothing * Self.softplus(z)
            let slope = beta * (smoothing * Self.logistic(z) - (1 - smoothing) * Self.logistic(-z))
            (value.chosenSlope, value.rejectedSlope) = (slope, -slope)
        case .ipo:
            let distance = differences.0 / chosenCount - differences.1 / rejectedCount - 1 / (2 * beta)
            value.loss = distance * distance
            (value.chosenSlope, value.rejectedSlope) = (2 * distance / chosenCount, -2 * distance / rejectedCount)
        case .orpo:
            let (own, other) = (chosen.logProbability / chosenCount, rejected.logProbability / rejectedCount)
            (value.chosenReward, value.rejectedReward) = (beta * own, beta * other)
            // log(1 - exp(x)) for x < 0.
            let ratio = (own - log(-expm1(own))) - (other - log(-expm1(other)))
            value.loss = beta * Self.softplus(-ratio)
            let slope = -beta * Self.logistic(-ratio)
            // d (x - log(1 - exp(x))) / dx = 1 / (1 - exp(x)).
            value.chosenSlope = slope / -expm1(own) / chosenCount
            value.rejectedSlope = -slope / -expm1(other) / rejectedCount
        }
        return value
    }

    /// `log(1 + exp(x))`, which is `-log σ(-x)`.
    private static func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-abs(x))) }

    private static func logistic(_ x: Double) -> Double { x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)) }
}
