/// What is logged of pairs of answers, as means over the pairs.
public struct PreferenceMetrics: Sendable, Equatable {
    /// The mean reward of the chosen answers.
    public var chosenReward = 0.0
    /// The mean reward of the rejected answers.
    public var rejectedReward = 0.0
    /// The share of pairs whose chosen answer has the larger reward.
    public var accuracy = 0.0
    /// The mean logarithm of the probability of the chosen answers.
    public var chosenLogProbability = 0.0
    /// The mean logarithm of the probability of the rejected answers.
    public var rejectedLogProbability = 0.0

    /// The mean difference of the rewards.
    public var margin: Double { chosenReward - rejectedReward }

    /// No pairs.
    public init() {}

    /// The metrics by trl's names, in the order of logs.
    public var values: [(name: String, value: Double)] {
        [
            ("rewards/chosen", chosenReward), ("rewards/rejected", rejectedReward), ("rewards/accuracies", accuracy),
            ("rewards/margins", margin), ("logps/chosen", chosenLogProbability),
            ("logps/rejected", rejectedLogProbability),
        ]
    }

    /// Those of a log; nil where it has none.
    ///
    /// - Parameter value: The value of a name.
    init?(_ value: (_ name: String) -> Double?) {
        guard let chosen = value("rewards/chosen"), let rejected = value("rewards/rejected") else { return nil }
        (chosenReward, rejectedReward) = (chosen, rejected)
        accuracy = value("rewards/accuracies") ?? .nan
        chosenLogProbability = value("logps/chosen") ?? .nan
        rejectedLogProbability = value("logps/rejected") ?? .nan
    }
}

/// The sums of the metrics of pairs, in an order in which ranks can add them.
struct PreferenceSums {
    private(set) var numbers = [Double](repeating: 0, count: 6)

    /// Adds a pair.
    mutating func add(_ value: PreferenceLoss.Value, chosen: Double, rejected: Double) {
        let isRight = value.chosenReward > value.rejectedReward
        let pair = [value.chosenReward, value.rejectedReward, isRight ? 1 : 0, chosen, rejected, 1]
        numbers = zip(numbers, pair).map { $0 + $1 }
    }

    /// The sums of all ranks' pairs.
    static func of(_ numbers: [Double]) -> PreferenceSums {
        var sums = PreferenceSums()
        sums.numbers = numbers
        return sums
    }

    /// The means.
    var metrics: PreferenceMetrics {
        let count = max(numbers[5], 1)
        var metrics = PreferenceMetrics()
        metrics.chosenReward = numbers[0] / count
        metrics.rejectedReward = numbers[1] / count
        metrics.accuracy = numbers[2] / count
        metrics.chosenLogProbability = numbers[3] / count
        metrics.rejectedLogProbability = numbers[4] / count
        return metrics
    }
}
