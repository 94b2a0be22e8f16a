import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// The cache against one that keeps everything, written out below.
@Suite struct KVCacheTests {
    static let engine = TestEngine.cpu(threadCount: 1)

    struct Case: CustomTestStringConvertible {
        var window: Int?
        var prompt: Int
        var capacity: Int
        var testDescription: String { "window \(window ?? 0), prompt \(prompt), capacity \(capacity)" }
    }

    static let cases: [Case] = [1, 4, 7, nil].flatMap { window in
        [1, 3, 4, 6, 7, 8, 13, 22].flatMap { prompt in
            [1, 5, 64].map { Case(window: window, prompt: prompt, capacity: $0) }
        }
    }

    @Test(arguments: cases)
    func everyTokenSeesWhatItWouldSeeInAPlainCache(_ one: Case) throws {
        let cache = KVCache(windows: [one.window], capacity: one.capacity)
        var length = 0
        for count in [one.prompt, 1, 1, 3, 1, 2, 5, 1, 8, 1, 1, 1, 1, 1, 1, 1, 1, 9, 2, 1] {
            let positions = (length..<length + count).map { Int32($0) }
            let blocks = positions.map(block)
            let labels = AttentionMask.Labels(positions: positions, blocks: blocks, on: Self.engine)
            let key = Tensor(positions.flatMap { [Float($0), 2] }, shape: [1, count, 1, 2], on: Self.engine)
            let value = Tensor(positions.flatMap { [3, Float($0) + 0.5] }, shape: [1, count, 1, 2], on: Self.engine)
            let kept = cache.layers[0].append(key, value, labels)
            let (keys, values) = (kept.keys.floats(), kept.values.floats())
            let (keptPositions, keptBlocks) = (kept.labels.positions.indices(), kept.labels.blocks?.indices())
            #expect(keptPositions.count == kept.keys.shape[1])
            let mask = AttentionMask(isCausal: true, window: one.window, queries: labels, keys: kept.labels)
            for (query, position) in positions.enumerated() {
                let seen = keptPositions.indices.filter { mask.sees(query: query, key: $0) }
                let first = one.window.map { max(0, Int(position) - $0 + 1) } ?? 0
                let expected = (first...Int(position)).map(Float.init)
                // Tokens of the same block see each other ahead, as far as the chunk brings them.
                let ahead = positions.filter { $0 > position && blocks[query] > 0 && block($0) == blocks[query] }
                #expect(seen.map { keys[2 * $0] }.sorted() == expected + ahead.map(Float.init))
                for index in seen {
                    #expect(keys[2 * index + 1] == 2 && values[2 * index] == 3)
                    #expect(values[2 * index + 1] == keys[2 * index] + 0.5)
                    #expect(Float(keptPositions[index]) == keys[2 * index])
                    #expect(keptBlocks?[index] == block(keptPositions[index]))
                }
            }
            length += count
        }
        if let window = one.window { #expect(cache.byteCount <= 2 * window * 2 * 4) }
    }

    @Test(arguments: [1, 4, 7, nil], [1, 3, 7, 12, 22])
    func tokensOneAfterTheOtherInEachLayerAreRemovedAgain(_ window: Int?, _ prompt: Int) {
        /// What the tokens see in each layer, keys and positions; of the given sizes, one after the other in a layer.
        func append(_ cache: KVCache, _ start: Int, _ counts: [Int], _ mark: (Int) -> Float = { _ in 1 }) -> [[Float]] {
            let seen = cache.layers.map { layer in
                var first = start
                return counts.map { count -> [Float] in
                    let positions = first..<first + count
                    first += count
                    let labels = AttentionMask.Labels(positions: positions.map { Int32($0) }, on: Self.engine)
                    let values = positions.flatMap { [Float($0), mark($0)] }
                    let key = Tensor(values, shape: [1, count, 1, 2], on: Self.engine)
                    let kept = layer.append(key, key, labels)
                    return kept.keys.floats() + kept.labels.positions.indices().map(Float.init)
                }
            }
            cache.advance(by: counts.reduce(0, +))
            return counts.indices.flatMap { part in seen.map { $0[part] } }
        }
        // Layers with the same window share their labels.
        func cache() -> KVCache { KVCache(windows: [window, window, nil], capacity: 2) }
        let (one, plain) = (cache(), cache())
        _ = (append(one, 0, [prompt]), append(plain, 0, [prompt]))
        one.removableCount = 9
        var length = prompt
        for (added, removed) in [(5, 5), (5, 2), (3, 0), (9, 3), (1, 1), (5, 4), (9, 9), (7, 0)] {
            let kept = added - removed
            let found = append(one, length, [Int](repeating: 1, count: added)) { $0 < length + kept ? 1 : 9 }
            one.removeLast(removed)
            // One pass through all layers for each token.
            let expected = (0..<kept).flatMap { append(plain, length + $0, [1]) }
            #expect(Array(found[..<expected.count]) == expected)
            length += kept
            #expect(one.length == length && plain.length == length)
        }
        for count in [1, 3, 1, 9, 1] {
            #expect(append(one, length, [count]) == append(plain, length, [count]))
            length += count
        }
    }

    /// Two images among the tokens.
    private func block(_ position: Int32) -> Int32 {
        switch position {
        case 2...5: return 3
        case 20...22: return 21
        default: return 0
        }
    }
}
