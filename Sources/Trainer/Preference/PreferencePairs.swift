/// The pairs of a preference tuning, for the reference model.
public struct PreferencePairs: Sendable {
    /// The training pairs, in the order of the data set.
    var training: BatchCollator
    /// The order of the training pairs in the run.
    var order: EpochSampler
    /// The pairs of each validation set, in the order of the data set.
    var validation: [BatchCollator]
    /// A checksum of what the reference depends on: weights, data and settings, which are read for it.
    var key: @Sendable () throws -> String
    /// The checkpoint that the run resumes from, which may have the reference; nil for a new run.
    var checkpoint: String?
}
