import BridgeCore
import JSONTree
import TensorRuntime

/// Prints how far the logits of two models for the same tokens are apart.
struct LogitReport {
    private let result: LogitComparison
    private let problems: [String]
    private let tolerance: Float
    private let names: (String, String)

    /// A comparison.
    ///
    /// - Parameters:
    ///   - one: The logits of the first model, [..., V].
    ///   - other: Those of the second.
    ///   - names: What the models are called.
    ///   - tolerance: The largest difference as a share of the first model's largest logit.
    /// - Throws: `BridgeError` when the vocabularies differ.
    init(_ one: Tensor, _ other: Tensor, names: (String, String), tolerance: Float?) throws {
        result = try LogitComparison(one, other)
        self.names = names
        self.tolerance = tolerance ?? LogitTolerance.standard
        // NaN never equals NaN, so this is about a failed comparison.
        problems = [(names.0, one), (names.1, other)].compactMap { name, logits in
            LogitCheck.problem(logits.floats()).map { "\(name): \($0): \(LogitCheck.advice)" }
        }
    }

    private var isClose: Bool { result.largestDifference <= tolerance * result.scale }

    /// Prints it.
    ///
    /// - Throws: `BridgeError` with code `verificationFailed` for logits that are too far apart.
    func show(json isJSON: Bool) throws {
        if isJSON {
            Output.json(json)
        } else {
            Output.table([
                ["positions", "\(result.positions)"],
                ["same most likely token", "\(result.sameArgmax)"],
                ["largest difference", "\(result.largestDifference) of logits up to \(result.scale)"],
                ["mean difference", "\(result.meanDifference)"],
                ["cosine", "\(result.cosine)"],
                ["divergence", "\(result.divergence) nats"],
            ])
            Output.line(
                isClose
                    ? Style.green("✅ \(names.0) and \(names.1) have the same logits")
                    : Style.redResult("❌ \(names.0) and \(names.1) have different logits")
            )
        }
        guard isClose else {
            throw BridgeError(
                .verificationFailed,
                "the logits of \(names.0) and \(names.1) are up to \(result.largestDifference) apart, "
                    + "more than \(tolerance) of the largest one, \(result.scale)",
                names: problems
            )
        }
    }

    private var json: JSON {
        [
            "equal": .bool(isClose),
            "positions": JSON(result.positions),
            "same_likeliest": JSON(result.sameArgmax),
            "max_difference": JSON(Double(result.largestDifference)),
            "mean_difference": JSON(Double(result.meanDifference)),
            "max_logit": JSON(Double(result.scale)),
            "cosine": JSON(result.cosine),
            "divergence": JSON(result.divergence),
        ]
    }
}
