import ArgumentParser
import BridgeCore
import JSONTree
import Trainer

/// Compares two runs of training.
struct CompareRuns: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare-runs",
        abstract: "Compare two runs of training: losses, gradient norms, learning rates and speed.",
        discussion: """
            Reads the logs of both runs, which have every number in full. Steps are compared that both have.

            EXAMPLES:
              bridge compare-runs run-a run-b
              bridge compare-runs run-a run-b --assert-equal
              bridge compare-runs run-a run-b --max-difference 1e-5 --json
            """
    )

    @Argument(
        help: ArgumentHelp(
            "A run: the directory of its checkpoints, the one of its logs, or its log.jsonl.",
            valueName: "run"
        ),
        completion: .directory
    )
    var one: String

    @Argument(help: ArgumentHelp("The run to compare with.", valueName: "other"), completion: .directory)
    var other: String

    @Flag(
        name: .customLong("assert-equal"),
        help: "Exit with status 1 unless both have the same steps and the same bits."
    )
    var assertsEqual = false

    @Option(
        name: .customLong("max-difference"),
        help: ArgumentHelp("Exit with status 1 if a relative difference is larger.", valueName: "x")
    )
    var largest: Double?

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard let largest else { return }
        guard largest >= 0 else { throw ValidationError("--max-difference is \(largest), expected 0 or more") }
        guard !assertsEqual else {
            throw ValidationError("--assert-equal allows no difference; remove it, or --max-difference")
        }
    }

    func run() throws {
        let comparison = try RunComparison(one, other)
        if output.json { report(comparison) } else { show(comparison) }
        if assertsEqual, !comparison.isEqual { throw ExitCode(1) }
        if let largest, comparison.differences.contains(where: { $0.relative > largest }) { throw ExitCode(1) }
    }

    /// Tokens in a second over the steps after the first, which also waits for the first batch.
    private func rate(_ steps: [StepRecord]) -> Double? {
        let steady = steps.count > 1 ? Array(steps.dropFirst()) : steps
        let seconds = steady.reduce(0.0) { $0 + $1.seconds }
        guard seconds > 0 else { return nil }
        return steady.reduce(0.0) { $0 + Double($1.tokens) } / seconds
    }

    /// The number of steps in the table.
    private static let mostRows = 10

    private func show(_ comparison: RunComparison) {
        let steps = comparison.steps
        let stride = max(1, (steps.count + Self.mostRows - 1) / Self.mostRows)
        let shown = steps.indices.filter { $0 % stride == 0 || $0 == steps.count - 1 }
        func number(_ value: Double) -> String { ByteFormat.rounded(value, digits: 6) }
        Output.table(
            [["step", "loss", "", "gradient norm", ""]]
                + shown.map { index in
                    let (one, other) = steps[index]
                    return [
                        "\(one.iteration)", number(one.loss), number(other.loss), number(one.gradientNorm),
                        number(other.gradientNorm),
                    ]
                }
        )
        for difference in comparison.differences {
            Output.line(
                "\(difference.quantity.rawValue): first different at step \(difference.firstIteration), most at step "
                    + "\(difference.iteration): \(difference.values.0) and \(difference.values.1), relative difference \(difference.relative)"
            )
        }
        if comparison.differences.isEmpty {
            Output.line("\(ByteFormat.counted(steps.count, "common step")), all equal to the bit")
        }
        for (run, count) in [(one, comparison.unmatched.one), (other, comparison.unmatched.other)] where count > 0 {
            Output.line("\(run) has \(ByteFormat.counted(count, "more step"))")
        }
        if let one = rate(steps.map(\.one)), let other = rate(steps.map(\.other)) {
            let ratio = ByteFormat.rounded(other / one, digits: 2)
            Output.line(
                "tokens per second: \(ByteFormat.rounded(one, digits: 0)) and \(ByteFormat.rounded(other, digits: 0)), ratio \(ratio)"
            )
        }
    }

    private func report(_ comparison: RunComparison) {
        func json(_ value: Double) -> JSON { value.isFinite ? JSON(value) : .null }
        let differences = comparison.differences.map { difference -> (String, JSON) in
            (
                difference.quantity.rawValue,
                [
                    "relative_difference": json(difference.relative), "iteration": difference.iteration.json,
                    "first_iteration": difference.firstIteration.json,
                    "values": [json(difference.values.0), json(difference.values.1)],
                ]
            )
        }
        Output.json([
            "logs": [.string(comparison.paths.0), .string(comparison.paths.1)],
            "common_steps": comparison.steps.count.json,
            "unmatched_steps": [comparison.unmatched.one.json, comparison.unmatched.other.json],
            "equal": .bool(comparison.isEqual), "differences": .object(JSONObject(differences)),
            "tokens_per_second": [
                rate(comparison.steps.map(\.one)).map(json) ?? .null,
                rate(comparison.steps.map(\.other)).map(json) ?? .null,
            ],
        ])
    }
}
