import Foundation
import Testing

@testable import TensorRuntime

/// Attention over several tiles and blocks, against softmax and its derivative written out.
@Suite struct AttentionTileTests {
    /// Attention in float64, forward and back.
    struct Reference {
        var out: [Double]
        var gradients: [[Double]]

        init(_ test: AttentionTests.Case, scale: Double, inputs: [[Double]], gradient: [Double]) {
            let (b, t, h, s, g, k) = test.sizes
            let (query, key, value) = (inputs[0], inputs[1], inputs[2])
            out = Array(repeating: 0, count: query.count)
            gradients = inputs.map { Array(repeating: 0, count: $0.count) }
            for sample in 0..<b {
                for token in 0..<t {
                    let seen = (0..<s).filter { test.mask.sees(query: sample * t + token, key: sample * s + $0) }
                    for head in 0..<h where !seen.isEmpty {
                        let row = ((sample * t + token) * h + head) * k
                        let places = seen.map { ((sample * s + $0) * g + head / (h / g)) * k }
                        func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int) -> Double {
                            var sum = 0.0
                            for n in 0..<k { sum += a[i + n] * b[j + n] }
                            return sum
                        }
                        let scores = places.map { scale * dot(query, row, key, $0) }
                        let largest = scores.max() ?? 0
                        let powers = scores.map { exp($0 - largest) }
                        let total = powers.reduce(0, +)
                        let slopes = places.map { dot(gradient, row, value, $0) }
                        let mean = zip(powers, slopes).reduce(0) { $0 + $1.0 * $1.1 } / total
                        for (index, place) in places.enumerated() {
                            let weight = powers[index] / total
                            let slope = weight * (slopes[index] - mean) * scale
                            for n in 0..<k {
                                out[row + n] += weight * value[place + n]
                                gradients[0][row + n] += slope * key[place + n]
                                gradients[1][place + n] += slope * query[row + n]
                                gradients[2][place + n] += weight * gradient[row + n]
                            }
                        }
                    }
                }
            }
        }
    }

    private func check(_ test: AttentionTests.Case, _ type: ElementType, tolerance: Double) {
        let (b, t, h, s, g, k) = test.sizes
        let shapes = [[b, t, h, k], [b, s, g, k], [b, s, g, k], [b, t, h, k]]
        var reference: Reference?
        for level in Level.all {
            let tensors = shapes.enumerated().map { index, shape in
                tensor(numbers(shape.reduce(1, *), seed: UInt64(index + 7)), shape, type, on: level.engine)
            }
            let inputs = tensors.prefix(3).map { $0.trackingGradient() }
            let exact = tensors.map { $0.floats().map(Double.init) }
            let expected =
                reference ?? Reference(test, scale: 0.4, inputs: Array(exact.prefix(3)), gradient: exact[3])
            reference = expected
            let out = inputs[0].scaledDotProductAttention(to: inputs[1], inputs[2], mask: test.mask, scale: 0.4)
            expectClose(out.floats(), expected.out, tolerance, "\(level.testDescription) value")
            let gradients = Gradients(of: out, seed: tensors[3])
            for (index, input) in inputs.enumerated() {
                let found = gradients[input]?.floats() ?? []
                expectClose(found, expected.gradients[index], tolerance, "\(level.testDescription) gradient \(index)")
            }
        }
    }

    static let cases: [AttentionTests.Case] = [
        AttentionTests.Case(
            name: "more rows than a block, more keys than a tile",
            sizes: (1, 70, 2, 133, 1, 20),
            mask: AttentionMask(
                isCausal: true,
                queries: .init(positions: AttentionTests.positions(63..<133)),
                keys: .init(positions: AttentionTests.positions(0..<133))
            )
        ),
        AttentionTests.Case(
            name: "a window that skips tiles, in a ring of keys",
            sizes: (1, 40, 2, 200, 2, 8),
            mask: AttentionMask(
                isCausal: true,
                window: 50,
                queries: .init(positions: AttentionTests.positions(260..<300)),
                keys: .init(positions: AttentionTests.positions(200..<300) + AttentionTests.positions(100..<200))
            )
        ),
        AttentionTests.Case(
            name: "images next to one another",
            sizes: (1, 150, 1, 150, 1, 8),
            mask: AttentionMask(
                isCausal: false,
                tokens: .init(
                    positions: AttentionTests.positions(0..<150),
                    segments: (0..<150).map { $0 < 66 ? 0 : $0 < 140 ? 1 : -1 }
                )
            )
        ),
        AttentionTests.Case(
            name: "image blocks among text under a window",
            sizes: (1, 130, 1, 130, 1, 6),
            mask: AttentionMask(
                isCausal: true,
                window: 20,
                tokens: .init(
                    positions: AttentionTests.positions(0..<130),
                    blocks: (0..<130).map { (50..<100).contains($0) ? 1 : $0 >= 120 ? 2 : 0 }
                )
            )
        ),
    ]

    @Test(arguments: cases)
    func tilesFitTogether(_ test: AttentionTests.Case) {
        check(test, .float32, tolerance: 1e-5)
        check(test, .bfloat16, tolerance: bfloat16Tolerance)
    }

    /// Tiles take 256 keys at once, and what came before is scaled when a later key has the largest score.
    @Test(arguments: [nil, 200])
    func manyKeysAreSeenByManyQueries(_ window: Int?) {
        let test = AttentionTests.Case(
            name: "more keys than tiles take at once, with a window the first of them all unseen",
            sizes: (1, 36, 2, 560, 1, 20),
            mask: AttentionMask(
                isCausal: true,
                window: window,
                queries: .init(positions: AttentionTests.positions(524..<560)),
                keys: .init(positions: AttentionTests.positions(0..<560))
            )
        )
        check(test, .float32, tolerance: 1e-5)
        check(test, .bfloat16, tolerance: bfloat16Tolerance)
    }

    /// More keys and more rows than weights are kept of at once, in sequences side by side.
    @Test(arguments: [nil, 70])
    func manyKeysAndRowsHaveGradients(_ window: Int?) {
        let test = AttentionTests.Case(
            name: "several blocks of keys and rows",
            sizes: (1, 290, 2, 290, 1, 40),
            mask: AttentionMask(
                isCausal: true,
                window: window,
                tokens: .init(
                    positions: AttentionTests.positions(0..<200) + AttentionTests.positions(0..<90),
                    segments: (0..<290).map { $0 < 200 ? 0 : $0 < 280 ? 1 : -1 }
                )
            )
        )
        check(test, .float32, tolerance: 2e-5)
        check(test, .bfloat16, tolerance: bfloat16Tolerance)
    }

    @Test(arguments: [1, 31, 64, 72, 80, 128, 256])
    func headsOfAnyWidthAttend(_ width: Int) {
        // Three rows are read where they are, ten are a block, 40 more than a strip of tiles.
        for tokens in [3, 10, 40] {
            let test = AttentionTests.Case(
                name: "width \(width)",
                sizes: (1, tokens, 1, 12, 1, width),
                mask: AttentionMask(
                    isCausal: true,
                    queries: .init(positions: AttentionTests.positions(2..<2 + tokens)),
                    keys: .init(positions: AttentionTests.positions(0..<12))
                )
            )
            check(test, .float32, tolerance: 1e-5)
            check(test, .bfloat16, tolerance: bfloat16Tolerance)
        }
    }

    @Test(arguments: [(1, 6, 3), (1, 18, 2), (2, 2, 2), (4, 9, 9)])
    func aLongCacheIsReadInParts(_ tokens: Int, _ heads: Int, _ groups: Int) {
        let test = AttentionTests.Case(
            name: "long cache",
            sizes: (1, tokens, heads, 1300, groups, 8),
            mask: AttentionMask(
                isCausal: true,
                window: 1100,
                queries: .init(positions: AttentionTests.positions(1290..<1290 + tokens)),
                keys: .init(positions: AttentionTests.positions(0..<1300))
            )
        )
        check(test, .float32, tolerance: 1e-5)
        check(test, .bfloat16, tolerance: bfloat16Tolerance)
    }

    @Test(arguments: Level.all, [1, 6, 40])
    func whatBelongsToNoSequenceMayBeAnything(_ level: Level, _ tokens: Int) {
        // A cache that is not full yet: its end has never been written.
        for type in [ElementType.float32, .bfloat16] {
            let mask = AttentionMask(
                isCausal: true,
                queries: .init(positions: AttentionTests.positions(3..<3 + tokens)),
                keys: .init(positions: AttentionTests.positions(0..<9), segments: [0, 0, 0, 0, -1, -1, -1, -1, -1])
            )
            let query = tensor(numbers(tokens * 8, seed: 1), [1, tokens, 2, 4], type, on: level.engine)
            let cache = tensor(numbers(36, seed: 2), [1, 9, 1, 4], type, on: level.engine)
            let clean = query.scaledDotProductAttention(to: cache, cache, mask: mask, scale: 1).floats()
            level.engine.fill(cache.narrowed(1, to: 4..<9), with: .nan)
            let inputs = [query, cache, cache].map { $0.trackingGradient() }
            let out = inputs[0].scaledDotProductAttention(to: inputs[1], inputs[2], mask: mask, scale: 1)
            #expect(out.floats() == clean)
            let gradients = Gradients(of: out, seed: query)
            for input in inputs { #expect(gradients[input]?.floats().allSatisfy(\.isFinite) == true) }
        }
    }

    @Test(arguments: Level.all)
    func resultsDoNotDependOnTheNumberOfThreads(_ level: Level) {
        let results = [1, 2, 3].map { threads -> [[Float]?] in
            let engine = CPUEngine(threadCount: threads, libraries: nil, isa: level.isa)
            let inputs = [(70, 4), (70, 2), (70, 2)].enumerated().map { index, size in
                tensor(
                    numbers(size.0 * size.1 * 8, seed: UInt64(index)),
                    [1, size.0, size.1, 8],
                    .bfloat16,
                    on: engine
                )
                .trackingGradient()
            }
            let mask = AttentionMask(isCausal: true, tokens: .init(positions: AttentionTests.positions(0..<70)))
            let out = inputs[0].scaledDotProductAttention(to: inputs[1], inputs[2], mask: mask, scale: 0.3)
            let gradients = Gradients(of: out, seed: out.detached)
            return [out.floats()] + inputs.map { gradients[$0]?.floats() }
        }
        #expect(!results[0].contains(nil))
        #expect(results[0] == results[1] && results[0] == results[2])
    }
}
