/// Takes in what a run measures: a log, an event file, a report.
///
/// All calls come from one thread, in the order of the steps.
public protocol MetricsSink: AnyObject {
    /// Called once, before the first step.
    ///
    /// - Parameters:
    ///   - run: What the run is.
    ///   - iteration: How many steps earlier processes have done; what a sink has of later ones is to be left aside.
    /// - Throws: `BridgeError` when nothing can be written.
    func begin(_ run: RunMetadata, after iteration: Int) throws
    /// Called for every step.
    func record(_ step: StepRecord) throws
    /// Called for every validation.
    func record(_ validation: ValidationRecord) throws
    /// Called once, after the last step, also when the run was ended from outside.
    func finish() throws
}
