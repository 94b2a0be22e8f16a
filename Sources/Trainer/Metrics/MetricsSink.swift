/// Receives the metrics of a run: a log, an event file, a report.
///
/// All calls are made on one thread, in the order of the steps.
public protocol MetricsSink: AnyObject {
    /// Called once, before the first step.
    ///
    /// - Parameters:
    ///   - run: The metadata of the run.
    ///   - iteration: The number of steps of earlier processes; the sink discards its records of later steps.
    /// - Throws: `BridgeError` when nothing can be written.
    func begin(_ run: RunMetadata, after iteration: Int) throws
    /// Called for every step.
    func record(_ step: StepRecord) throws
    /// Called for every validation.
    func record(_ validation: ValidationRecord) throws
    /// Called once, after the last step, also when the run was interrupted.
    func finish() throws
}
