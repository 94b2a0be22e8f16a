extension Recipe {
    /// How ranks with the same parameters exchange gradients and parameters.
    ///
    /// Defaults are those of Megatron-Core's `DistributedDataParallelConfig` (0.20).
    public struct DDPSection: Sendable, Equatable {
        /// Whether gradients are summed during the rest of the backward pass.
        public var overlapGradReduce = false
        /// Whether the parameters that other ranks have updated are gathered during the next forward pass.
        public var overlapParamGather = false
        /// The number of parameters in a bucket; nil for the default of a number of ranks.
        public var bucketSize: Int?
        /// Whether a gradient that is not finite ends the run.
        public var checkForNanInGrad = false

        /// The default.
        public init() {}

        /// Whether anything overlaps with computation.
        public var overlaps: Bool { overlapGradReduce || overlapParamGather }

        /// The number of parameters in a bucket.
        ///
        /// Source: `DistributedDataParallel.__init__`, megatron/core/distributed/distributed_data_parallel.py, 0.20: larger
        /// with more ranks, whose parts of a bucket would otherwise be too small for their connections.
        ///
        /// - Parameter ranks: The number of ranks with the same parameters.
        public func bucketSize(ranks: Int) -> Int { bucketSize ?? max(40_000_000, 1_000_000 * ranks) }
    }
}
