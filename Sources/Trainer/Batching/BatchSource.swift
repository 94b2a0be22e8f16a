/// The samples of a run in the order in which it uses them.
///
/// What comes at a place depends on the place alone, so a run that is resumed needs to know no more than how many samples
/// it has used.
public protocol BatchSource: Sendable {
    /// The samples from `first` on, counted from the beginning of the run.
    ///
    /// - Throws: `BridgeError` for a sample that cannot be used.
    func batch(first: Int, count: Int) throws -> TrainingBatch
}
