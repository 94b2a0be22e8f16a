import Foundation
import Testing

@testable import TensorRuntime

/// Attention against softmax written out, with the mask's rule asked for every pair.
@Suite struct AttentionTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        /// Samples, queries, query heads, keys, key heads, width.
        let sizes: (b: Int, t: Int, h: Int, s: Int, g: Int, k: Int)
        let mask: AttentionMask
        var testDescription: String { name }
    }

    static func formula(_ test: Case, scale: Double) -> ([[Double]]) -> [Double] {
        let (b, t, h, s, g, k) = test.sizes
        return { inputs in
            var out = [Double](repeating: 0, count: b * t * h * k)
            for sample in 0..<b {
                for token in 0..<t {
                    for head in 0..<h {
                        let row = ((sample * t + token) * h + head) * k
                        let seen = (0..<s).filter { test.mask.sees(query: sample * t + token, key: sample * s + $0) }
                        let places = seen.map { ((sample * s + $0) * g + head / (h / g)) * k }
                        let scores = places.map { place in
                            scale * (0..<k).reduce(0) { $0 + inputs[0][row + $1] * inputs[1][place + $1] }
                        }
                        let largest = scores.max() ?? 0
                        let total = scores.reduce(0) { $0 + exp($1 - largest) }
                        for (place, score) in zip(places, scores) {
                            for i in 0..<k { out[row + i] += exp(score - largest) / total * inputs[2][place + i] }
                        }
                    }
                }
            }
            return out
        }
    }

    static func positions(_ range: Range<Int>, times: Int = 1) -> [Int32] {
        (0..<times).flatMap { _ in range.map(Int32.init) }
    }

    static let cases: [Case] = [
        Case(
            name: "everything sees everything",
            sizes: (2, 3, 2, 5, 2, 6),
            mask: AttentionMask(
                isCausal: false,
                queries: .init(positions: positions(0..<3, times: 2)),
                keys: .init(positions: positions(0..<5, times: 2))
            )
        ),
        Case(
            name: "causal, four heads to a key head",
            sizes: (1, 7, 4, 7, 1, 5),
            mask: AttentionMask(isCausal: true, tokens: .init(positions: positions(0..<7)))
        ),
        Case(
            name: "causal, behind cached keys",
            sizes: (1, 3, 6, 8, 2, 4),
            mask: AttentionMask(
                isCausal: true,
                queries: .init(positions: positions(5..<8)),
                keys: .init(positions: positions(0..<8))
            )
        ),
        Case(
            name: "a sliding window over a ring of keys",
            sizes: (1, 2, 2, 6, 1, 9),
            mask: AttentionMask(
                isCausal: true,
                window: 4,
                queries: .init(positions: [8, 9]),
                keys: .init(positions: [6, 7, 8, 9, 4, 5])
            )
        ),
        Case(
            name: "packed samples and padding",
            sizes: (2, 6, 2, 6, 2, 3),
            mask: AttentionMask(
                isCausal: true,
                tokens: .init(
                    positions: [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 0],
                    segments: [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, -1, -1]
                )
            )
        ),
        Case(
            name: "image blocks that cross the window",
            sizes: (1, 9, 2, 9, 1, 4),
            mask: AttentionMask(
                isCausal: true,
                window: 3,
                tokens: .init(positions: positions(0..<9), blocks: [0, 1, 1, 1, 1, 0, 2, 2, 0])
            )
        ),
        Case(
            name: "a query that sees nothing",
            sizes: (1, 3, 2, 4, 2, 7),
            mask: AttentionMask(
                isCausal: true,
                queries: .init(positions: [0, 1, 5]),
                keys: .init(positions: [1, 2, 3, 4])
            )
        ),
    ]

    @Test(arguments: Level.all, cases)
    func attentionFollowsTheFormula(_ level: Level, _ test: Case) {
        let (b, t, h, s, g, k) = test.sizes
        for layout in level.layouts {
            let check = OperationCheck(
                shapes: [[b, t, h, k], [b, s, g, k], [b, s, g, k]],
                operation: { $0[0].scaledDotProductAttention(to: $0[1], $0[2], mask: test.mask, scale: 0.7) },
                formula: Self.formula(test, scale: 0.7)
            )
            check.runBothTypes(on: level.engine, layout)
        }
    }

    /// A long row of keys, for one query as in decoding and for many, and the cases above.
    static let longCases =
        cases
        + [(1, 700), (40, 300)].map { queries, keys in
            Case(
                name: "\(queries) of \(keys) tokens",
                sizes: (1, queries, 4, keys, 2, 40),
                mask: AttentionMask(
                    isCausal: true,
                    queries: .init(positions: positions(keys - queries..<keys)),
                    keys: .init(positions: positions(0..<keys))
                )
            )
        }

    /// A value that is not a number makes the rows of all queries that see it so, and no other.
    @Test(arguments: Level.all, longCases)
    func whatIsNotANumberIsNotLost(_ level: Level, _ test: Case) {
        let (b, t, h, s, g, k) = test.sizes
        for type in [ElementType.float32, .bfloat16] {
            for (input, number) in [(0, Float.nan), (1, .nan), (2, .nan), (0, .infinity), (1, .infinity)] {
                let shapes = [[b, t, h, k], [b, s, g, k], [b, s, g, k]]
                var values = shapes.enumerated().map { numbers($1.reduce(1, *), seed: UInt64($0 + 1)).map(abs) }
                let token = shapes[input][1] / 2
                values[input][token * shapes[input][2] * k + 1] = number
                let x = zip(values, shapes).map { tensor($0, $1, type, on: level.engine) }
                let out = x[0].scaledDotProductAttention(to: x[1], x[2], mask: test.mask, scale: 0.7)
                let found = out.reshaped([b * t, h, k]).floats()
                for query in 0..<b * t {
                    for head in 0..<h {
                        let sample = query / t
                        let seen = (0..<s).filter { test.mask.sees(query: query, key: sample * s + $0) }
                        let isAffected =
                            input == 0
                            ? query == token && head == 0 && !seen.isEmpty
                            : sample == 0 && head / (h / g) == 0 && seen.contains(token)
                        let row = found[((query * h + head) * k)..<((query * h + head + 1) * k)]
                        let isNumber = input == 2 ? !row[row.startIndex + 1].isNaN : row.allSatisfy { !$0.isNaN }
                        // As in torch, a value that is not a number reaches those that do not see it with a weight of 0.
                        guard isAffected || input != 2 else { continue }
                        #expect(isNumber != isAffected, "query \(query), head \(head), input \(input), \(number)")
                    }
                }
            }
        }
    }
}
