import Testing

@testable import TensorRuntime

/// Philox against its published vectors, and the numbers made from it.
@Suite struct PhiloxTests {
    @Test func theGeneratorHasThePublishedWords() {
        // Source: tests/kat_vectors of Random123, philox4x32 with 10 rounds.
        let vectors: [(counter: SIMD4<UInt32>, key: SIMD2<UInt32>, words: SIMD4<UInt32>)] = [
            ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [.max, .max, .max, .max], [.max, .max],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
            ),
        ]
        for vector in vectors {
            #expect(RandomStream.philox(counter: vector.counter, key: vector.key) == vector.words)
        }
        let first = RandomStream(seed: 0, stream: 0).uniform(0..<4)
        #expect(first == [0x6627_e8, 0xe169_c5, 0xbc57_ac, 0x9b00_db].map { Float($0) / 16_777_216 })
    }

    @Test func aPartHasTheNumbersOfTheWhole() {
        let stream = RandomStream(seed: 11, stream: 3)
        #expect(Array(stream.uniform(0..<40)[7..<23]) == stream.uniform(7..<23))
        #expect(Array(stream.normal(0..<40)[9..<22]) == stream.normal(9..<22))
        #expect(RandomStream(seed: 11, stream: 4).uniform(0..<40) != stream.uniform(0..<40))
        #expect(RandomStream(seed: 12, stream: 3).uniform(0..<40) != stream.uniform(0..<40))
    }

    @Test func numbersAreDistributedAsTheySay() {
        let count = 20_000
        let stream = RandomStream(seed: 5, stream: 9)
        let even = stream.uniform(0..<count).map(Double.init)
        #expect(even.allSatisfy { $0 >= 0 && $0 < 1 })
        // Bounds of five standard errors.
        let error = 5 / Double(count).squareRoot()
        #expect(abs(even.reduce(0, +) / Double(count) - 0.5) < error * 0.289)
        let normal = stream.normal(0..<count).map(Double.init)
        let mean = normal.reduce(0, +) / Double(count)
        let square = normal.reduce(0) { $0 + $1 * $1 } / Double(count)
        let fourth = normal.reduce(0) { $0 + $1 * $1 * $1 * $1 } / Double(count)
        #expect(abs(mean) < error && abs(square - 1) < error * 1.42 && abs(fourth - 3) < error * 9.8)
        let neighbours = (1..<count).reduce(0) { $0 + normal[$1] * normal[$1 - 1] } / Double(count)
        #expect(abs(neighbours) < error)
    }
}
