import BridgeCore
import Datasets
import JSONTree

/// Writes a line of JSON for each step and each validation into a file.
///
/// The keys are Megatron's, spelled as in its configuration: `iteration`, `lm_loss`, `learning_rate`, `grad_norm` and so on.
/// NaN and infinity are written as `null`.
public final class JSONLinesLog: TrainerCallback {
    /// The file name of a run's log.
    public static let fileName = "log.jsonl"

    private let path: String
    private var file: LogFile?

    /// A log.
    ///
    /// - Parameter path: The file; its directory has to exist.
    public init(path: String) { self.path = path }

    /// Opens the file and removes the lines of steps that will be repeated.
    ///
    /// - Throws: `BridgeError` when it cannot be written.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
        file = try LogFile(path: path, keeping: iteration > 0 ? kept(through: iteration) : 0)
    }

    /// Writes a step.
    public func onStepEnd(_ step: StepRecord) throws {
        var row = JSONObject([
            ("iteration", JSON(step.iteration)),
            ("train_iters", JSON(step.totalIterations)),
            ("consumed_samples", JSON(step.consumedSamples)),
            ("elapsed_time_per_iteration", Self.number(step.seconds)),
            ("tokens", JSON(step.tokens)),
            ("trained_tokens", JSON(step.trainedTokens)),
            ("tokens_per_second", Self.number(Double(step.tokens) / step.seconds)),
            ("learning_rate", Self.number(step.learningRate)),
            ("global_batch_size", JSON(step.globalBatchSize)),
            ("lm_loss", Self.number(step.loss)),
            ("grad_norm", Self.number(step.gradientNorm)),
            ("operations", Self.number(step.operations)),
            ("skipped_iterations", JSON(step.skippedIterations)),
            ("nan_iterations", JSON(step.nanIterations)),
        ])
        if !step.learningRates.isEmpty {
            let rates = step.learningRates.sorted { $0.key < $1.key }.map { ($0.key, Self.number($0.value)) }
            row["learning_rates"] = .object(JSONObject(rates))
        }
        if let norm = step.parametersNorm { row["params_norm"] = Self.number(norm) }
        for (name, value) in step.preference?.values ?? [] { row[name] = Self.number(value) }
        try append(row)
    }

    /// Writes a validation.
    public func onEvaluate(_ validation: ValidationRecord) throws {
        var row = JSONObject([
            ("iteration", JSON(validation.iteration)),
            ("validation_lm_loss", Self.number(validation.loss)),
            ("validation_seconds", Self.number(validation.seconds)),
        ])
        if let perplexity = validation.perplexity { row["validation_perplexity"] = Self.number(perplexity) }
        if let accuracy = validation.tokenAccuracy { row["validation_token_accuracy"] = Self.number(accuracy) }
        for (name, value) in validation.preference?.values ?? [] { row["validation_\(name)"] = Self.number(value) }
        if !validation.parts.isEmpty {
            let losses = validation.parts.map { ($0.name, Self.number($0.loss)) }
            row["validation_lm_losses"] = .object(JSONObject(losses))
        }
        try append(row)
    }

    /// Closes the file.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws { file = nil }

    private func append(_ row: JSONObject) throws { try file?.append(JSON.object(row).text(pretty: false) + [10]) }

    private static func number(_ value: Double) -> JSON { value.isFinite ? JSON(value) : .null }

    /// A line of a log.
    enum Row {
        case step(StepRecord)
        case validation(ValidationRecord)

        /// A line.
        ///
        /// - Parameters:
        ///   - row: The line.
        ///   - total: The number of steps of the run, for a log without it.
        init(_ row: JSON, total: Int) {
            func number(_ key: String) -> Double { row[key]?.double ?? .nan }
            func count(_ key: String) -> Int { row[key]?.integer ?? 0 }
            guard row["validation_lm_loss"] == nil else {
                self = .validation(
                    ValidationRecord(
                        iteration: count("iteration"),
                        loss: number("validation_lm_loss"),
                        perplexity: row["validation_perplexity"]?.double,
                        tokenAccuracy: row["validation_token_accuracy"]?.double,
                        seconds: number("validation_seconds"),
                        parts: (row["validation_lm_losses"]?.object ?? JSONObject()).map {
                            ValidationRecord.Part(name: $0.key, loss: $0.value.double ?? .nan)
                        },
                        preference: PreferenceMetrics { row["validation_\($0)"]?.double }
                    )
                )
                return
            }
            self = .step(
                StepRecord(
                    iteration: count("iteration"),
                    totalIterations: row["train_iters"]?.integer ?? total,
                    consumedSamples: count("consumed_samples"),
                    seconds: number("elapsed_time_per_iteration"),
                    tokens: count("tokens"),
                    trainedTokens: count("trained_tokens"),
                    learningRate: number("learning_rate"),
                    learningRates: Dictionary(
                        (row["learning_rates"]?.object ?? JSONObject()).map { ($0.key, $0.value.double ?? .nan) }
                    ) { $1 },
                    globalBatchSize: count("global_batch_size"),
                    loss: number("lm_loss"),
                    gradientNorm: number("grad_norm"),
                    preference: PreferenceMetrics { row[$0]?.double },
                    operations: number("operations"),
                    skippedIterations: count("skipped_iterations"),
                    nanIterations: count("nan_iterations")
                )
            )
        }
    }

    /// The log of a run.
    ///
    /// - Parameter path: The directory of its checkpoints, the one of its logs, or the log.
    /// - Returns: The path of the log.
    /// - Throws: `BridgeError` when there is none.
    static func location(of path: String) throws -> String {
        if Files.kind(of: path) == .file { return path }
        let root = Files.trimmed(path)
        // Without checkpoint.save and logger.log_dir, checkpoints are in a directory of that of the logs.
        let candidates =
            ["\(root)/\(fileName)", "\(root)_logs/\(fileName)"]
            + (Files.name(of: root) == "checkpoints" ? ["\(Files.parent(of: root))/\(fileName)"] : [])
        if let found = candidates.first(where: { Files.kind(of: $0) == .file }) { return found }
        throw BridgeError(
            .fileSystem,
            "\(path) has no log: \(candidates.joined(separator: " and ")) do not exist; name the directory of logger.log_dir, which is "
                + "nemo_experiments/RECIPE for a run without checkpoint.save"
        )
    }

    /// The number of bytes of the first `iteration` steps; an incomplete line ends them.
    private func kept(through iteration: Int) -> Int {
        var kept = 0
        Self.visit(path, through: iteration) { _, end in kept = end }
        return kept
    }

    /// The steps and validations in a log; incomplete lines are skipped.
    static func records(in path: String, through iteration: Int) -> ([StepRecord], [ValidationRecord]) {
        var steps: [StepRecord] = []
        var validations: [ValidationRecord] = []
        visit(path, through: iteration) { row, _ in
            switch Row(row, total: iteration) {
            case .step(let step): steps.append(step)
            case .validation(let validation): validations.append(validation)
            }
        }
        return (steps, validations)
    }

    /// Calls a closure with each line of the first `iteration` steps and its end position.
    private static func visit(_ path: String, through iteration: Int, _ body: (JSON, Int) -> Void) {
        guard let bytes = try? Files.contents(of: path, limit: 1 << 31) else { return }
        var start = 0
        while let end = bytes[start...].firstIndex(of: 10) {
            guard let row = try? JSON(parsing: Array(bytes[start..<end])), let number = row["iteration"]?.integer,
                number <= iteration
            else { return }
            start = end + 1
            body(row, start)
        }
    }
}
