import TestSupport

@testable import TensorRuntime

extension AttentionMask.Labels {
    private static let engine = TestEngine.cpu(threadCount: 1)

    /// Labels in the memory of the processor, which the engines of all levels read.
    init(positions: [Int32], segments: [Int32]? = nil, blocks: [Int32]? = nil) {
        self.init(positions: positions, segments: segments, blocks: blocks, on: Self.engine)
    }
}
