import BridgeCore
import Trainer

/// What takes in the measurements of a run.
enum RunSinks {
    static func standard(for run: TrainingRun, isSilent: Bool) throws -> [any MetricsSink] {
        [PlainSink()]
    }
}
final class PlainSink: MetricsSink {
    func begin(_ run: RunFacts, after iteration: Int) throws {}
    func record(_ step: StepRecord) throws { Output.complain("step \(step.iteration) loss \(step.loss) norm \(step.gradientNorm) tok/s \(Double(step.tokens) / step.seconds)") }
    func record(_ validation: ValidationRecord) throws { Output.complain("validation \(validation.loss)") }
    func finish() throws {}
}
/// Tables of Hugging Face data sets.
enum DatasetTables {
    static var open: (@Sendable (_ path: String, _ split: String) throws -> any DatasetTable)? { nil }
}
