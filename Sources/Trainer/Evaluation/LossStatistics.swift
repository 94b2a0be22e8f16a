import Foundation

/// The loss of a model on samples: the mean cross entropy of their supervised tokens, with its standard error.
public struct LossStatistics: Sendable, Equatable {
    /// The number of samples with a supervised token.
    public private(set) var sampleCount = 0
    /// The number of supervised tokens.
    public private(set) var tokenCount = 0
    private var losses: [Double] = []
    private var tokens: [Int] = []

    /// No samples.
    public init() {}

    /// Adds a sample.
    ///
    /// - Parameters:
    ///   - loss: The sum of the cross entropies of its supervised tokens, in nats.
    ///   - count: Their number; a sample without any is ignored.
    public mutating func add(loss: Double, tokens count: Int) {
        guard count > 0 else { return }
        sampleCount += 1
        tokenCount += count
        losses.append(loss)
        tokens.append(count)
    }

    /// The mean cross entropy of all supervised tokens, in nats; not a number without any.
    public var loss: Double { losses.reduce(0, +) / Double(tokenCount) }

    /// The standard error of ``loss``; not a number for fewer than two samples.
    ///
    /// The tokens of a sample depend on each other, so samples are what is drawn: the loss is a ratio of two sums over samples,
    /// whose standard error is `sqrt(n / (n - 1) * sum((l_i - loss * t_i)^2)) / sum(t_i)` for sums l_i of t_i tokens each
    /// (Cochran, Sampling Techniques, 3rd edition, 1977, section 6.4).
    public var standardError: Double {
        guard sampleCount > 1 else { return .nan }
        let (mean, count) = (loss, Double(sampleCount))
        let squares = zip(losses, tokens).reduce(0.0) { $0 + pow($1.0 - mean * Double($1.1), 2) }
        return (count / (count - 1) * squares).squareRoot() / Double(tokenCount)
    }

    /// The exponential of ``loss``.
    public var perplexity: Double { exp(loss) }

    /// The standard error of ``perplexity``, to first order.
    public var perplexityError: Double { perplexity * standardError }
}
