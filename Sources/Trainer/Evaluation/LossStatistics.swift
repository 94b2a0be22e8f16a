import Foundation

/// The loss of a model on samples: the mean cross entropy of their supervised tokens, with its standard error.
public struct LossStatistics: Sendable, Equatable {
    /// The number of supervised tokens.
    public private(set) var tokenCount = 0
    private var lossSum = 0.0
    private var hits = 0
    private var samples: [Sample] = []

    private struct Sample: Equatable {
        var loss: Double
        var tokens: Int
    }

    /// The number of samples with a supervised token.
    public var sampleCount: Int { samples.count }

    /// No samples.
    public init() {}

    /// Adds a sample.
    ///
    /// - Parameters:
    ///   - loss: The sum of the cross entropies of its supervised tokens, in nats.
    ///   - count: Their number; a sample without any is ignored.
    ///   - hits: The number of them that are the most likely ones.
    public mutating func add(loss: Double, tokens count: Int, hits: Int = 0) {
        guard count > 0 else { return }
        tokenCount += count
        lossSum += loss
        self.hits += hits
        samples.append(Sample(loss: loss, tokens: count))
    }

    /// The mean cross entropy of all supervised tokens, in nats; not a number without any.
    public var loss: Double { lossSum / Double(tokenCount) }

    /// The share of supervised tokens than which no other token is more likely; not a number without any.
    public var tokenAccuracy: Double { Double(hits) / Double(tokenCount) }

    /// The standard error of ``loss``; not a number for fewer than two samples.
    ///
    /// The tokens of a sample depend on each other, so samples are what is drawn: the loss is a ratio of two sums over samples,
    /// whose standard error is `sqrt(n / (n - 1) * sum((l_i - loss * t_i)^2)) / sum(t_i)` for sums l_i of t_i tokens each
    /// (Cochran, Sampling Techniques, 3rd edition, 1977, section 6.4).
    public var standardError: Double {
        guard sampleCount > 1 else { return .nan }
        let (mean, count) = (loss, Double(sampleCount))
        let squares = samples.reduce(0.0) { $0 + pow($1.loss - mean * Double($1.tokens), 2) }
        return (count / (count - 1) * squares).squareRoot() / Double(tokenCount)
    }

    /// The exponential of ``loss``.
    public var perplexity: Double { exp(loss) }

    /// The standard error of ``perplexity``, to first order.
    public var perplexityError: Double { perplexity * standardError }
}
