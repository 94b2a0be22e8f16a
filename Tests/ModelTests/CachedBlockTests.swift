import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// The labels of cached tokens when images come after text alone, and text after images.
@Suite struct CachedBlockTests {
    @Test(arguments: [nil, 6], [1, 64])
    func tokensWithoutAnImageAreInNoBlock(_ window: Int?, _ capacity: Int) throws {
        let engine = TestEngine.cpu(threadCount: 1)
        let cache = KVCache(windows: [window], capacity: capacity).layers[0]
        // Two tokens of text, three of an image, then text, one by one and several at once.
        let runs: [(count: Int, block: Int32?)] = [(2, nil), (3, 7), (1, nil), (1, nil), (4, nil), (5, nil), (1, nil)]
        var expected: [Int32: Int32] = [:]
        for run in runs {
            let positions = (0..<run.count).map { Int32(expected.count + $0) }
            for position in positions { expected[position] = run.block ?? 0 }
            let key = Tensor(positions.map(Float.init), shape: [1, run.count, 1, 1], on: engine)
            let labels = AttentionMask.Labels(
                positions: positions,
                blocks: run.block.map { [Int32](repeating: $0, count: run.count) },
                on: engine
            )
            let kept = cache.append(key, key, labels)
            let found = kept.labels.positions.indices()
            #expect(found.map(Float.init) == kept.keys.floats())
            #expect(Set(found).isSuperset(of: positions))
            let blocks = kept.labels.blocks?.indices() ?? found.map { _ in 0 }
            #expect(blocks == found.map { expected[$0] })
        }
    }
}
