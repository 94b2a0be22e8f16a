/// The samples of a run in the order of their use.
///
/// The sample at a position depends only on the position, so a run resumes with the number of samples
/// that it has consumed.
public protocol BatchSource: Sendable {
    /// The samples from position `first` of the run.
    ///
    /// - Throws: `BridgeError` for a sample that cannot be used.
    func batch(first: Int, count: Int) throws -> TrainingBatch
}
