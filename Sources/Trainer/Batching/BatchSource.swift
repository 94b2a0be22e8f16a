/// The samples of a run in the order of their use.
///
/// The sample at a position depends only on the position, so a run resumes with the number of samples
/// that it has consumed.
public protocol BatchSource: Sendable {
    /// The samples from position `first` of the run.
    ///
    /// - Throws: `BridgeError` for a sample that cannot be used.
    func batch(first: Int, count: Int) throws -> TrainingBatch
    /// The number of samples in a pass; nil for an endless stream of them.
    var sampleCount: Int? { get }
    /// The rows of the data set that the samples from position `first` of the run are of.
    func rows(first: Int, count: Int) -> [Int]
}

extension BatchSource {
    /// Endless.
    public var sampleCount: Int? { nil }

    /// Every row once, in order.
    public func rows(first: Int, count: Int) -> [Int] { Array(first..<first + count) }
}
