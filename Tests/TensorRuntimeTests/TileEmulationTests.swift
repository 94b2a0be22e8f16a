import TestSupport
import Testing
import TileEmulation

/// The emulated instructions compute what Intel's manual says and what the processor does, where it has them.
@Suite(.enabled(if: can_emulate_tiles())) struct TileEmulationTests {
    /// What LDTILECFG reads for three tiles: `rows` x `columns` sums from `pairs` pairs.
    private func configuration(rows: Int, columns: Int, pairs: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes[0] = 1
        for (tile, shape) in [(rows, columns), (rows, pairs), (pairs, columns)].enumerated() {
            bytes[16 + 2 * tile] = UInt8(shape.1 * 4)
            bytes[48 + tile] = UInt8(shape.0)
        }
        return bytes
    }

    private func emulated(_ configuration: [UInt8], _ sums: [Float], _ left: [UInt16], _ right: [UInt16]) -> [Float] {
        var out = sums
        emulated_tile_load_configuration(configuration)
        emulated_tile_load(0, sums, 64)
        emulated_tile_load(1, left, 64)
        emulated_tile_load(2, right, 64)
        emulated_tile_dot(0, 1, 2)
        emulated_tile_store(0, &out, 64)
        emulated_tile_release()
        return out
    }

    private func wide(_ number: UInt16) -> Float { flushed(Float(bitPattern: UInt32(number) << 16)) }

    /// Zero, with its sign, for a denormal number.
    private func flushed(_ number: Float) -> Float {
        number.isSubnormal ? Float(signOf: number, magnitudeOf: 0) : number
    }

    private func fused(_ sum: Float, _ a: Float, _ b: Float) -> Float { flushed(sum.addingProduct(a, b)) }

    /// The operation of TDPBF16PS (Intel, Software Developer's Manual, volume 2), one number at a time.
    private func manual(
        _ sums: [Float],
        _ left: [UInt16],
        _ right: [UInt16],
        rows: Int,
        columns: Int,
        pairs: Int
    ) -> [Float] {
        var out = sums
        for m in 0..<rows {
            for n in 0..<columns {
                var parts: [Float] = [0, 0]
                for k in 0..<pairs {
                    for i in 0..<2 {
                        parts[i] = fused(parts[i], wide(left[32 * m + 2 * k + i]), wide(right[32 * k + 2 * n + i]))
                    }
                }
                out[16 * m + n] = flushed(flushed(sums[16 * m + n]) + flushed(parts[0] + parts[1]))
            }
        }
        return out
    }

    /// What the numbers of a tile are like.
    enum Kind: CaseIterable {
        /// Between 1/128 and 128, where the order of additions shows.
        case usual
        /// Around the least normal number, with denormal ones among them.
        case tiny
        /// Near the largest number, with infinities among the results.
        case huge
    }

    private func numbers(_ kind: Kind, _ count: Int, _ random: inout SplitMix) -> [UInt16] {
        let exponents: ClosedRange<UInt16> =
            switch kind {
            case .usual: 120...134
            // Products of two are around the least normal number, 2^-126, and some of the numbers are below it.
            case .tiny: 60...68
            case .huge: 180...195
            }
        return (0..<count).map { _ in
            let isDenormal = kind == .tiny && UInt8.random(in: 0..<8, using: &random) == 0
            let exponent = isDenormal ? 0 : UInt16.random(in: exponents, using: &random)
            return UInt16.random(in: 0...1, using: &random) << 15 | exponent << 7
                | UInt16.random(in: 0..<128, using: &random)
        }
    }

    private func sums(_ kind: Kind, _ random: inout SplitMix) -> [Float] {
        let exponents: ClosedRange<UInt32> =
            switch kind {
            case .usual: 120...140
            case .tiny: 0...3
            case .huge: 240...254
            }
        return (0..<256).map { _ in
            Float(
                bitPattern: UInt32.random(in: 0...1, using: &random) << 31
                    | UInt32.random(in: exponents, using: &random) << 23
                    | UInt32.random(in: 0..<1 << 23, using: &random)
            )
        }
    }

    @Test(arguments: Kind.allCases, [(16, 16, 16), (5, 7, 3), (1, 16, 1), (16, 1, 16), (9, 2, 11)])
    func aProductOfTilesIsThatOfTheManual(_ kind: Kind, _ shape: (rows: Int, columns: Int, pairs: Int)) {
        var random = SplitMix(state: 11)
        for _ in 0..<20 {
            let (left, right) = (numbers(kind, 512, &random), numbers(kind, 512, &random))
            let sums = sums(kind, &random)
            let expected = manual(
                sums,
                left,
                right,
                rows: shape.rows,
                columns: shape.columns,
                pairs: shape.pairs
            )
            let found = emulated(
                configuration(rows: shape.rows, columns: shape.columns, pairs: shape.pairs),
                sums,
                left,
                right
            )
            // Not a number has many spellings, of which the manual promises none.
            #expect(zip(found, expected).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
        }
    }

    @Test func whatATileDoesNotHoldIsZero() {
        var out = [Float](repeating: 7, count: 256)
        let source = (0..<256).map(Float.init)
        emulated_tile_load_configuration(configuration(rows: 3, columns: 2, pairs: 2))
        emulated_tile_load(0, source, 64)
        emulated_tile_release()
        // The registers are larger than the shape, and a later shape shows what lies beyond the first one.
        emulated_tile_load_configuration(configuration(rows: 16, columns: 16, pairs: 16))
        emulated_tile_store(0, &out, 64)
        #expect(out == [Float](repeating: 0, count: 256))
        emulated_tile_load(0, source, 64)
        emulated_tile_store(0, &out, 64)
        #expect(out == source)
        emulated_tile_zero(0)
        emulated_tile_store(0, &out, 64)
        #expect(out == [Float](repeating: 0, count: 256))
        emulated_tile_release()
    }

    @Test func whatTheProcessorRefusesEndsTheProcess() async {
        await #expect(processExitsWith: .failure) { emulated_tile_zero(0) }
        await #expect(processExitsWith: .failure) {
            let configuration = [UInt8](repeating: 1, count: 64)
            emulated_tile_load_configuration(configuration)
        }
        await #expect(processExitsWith: .failure) {
            // 4 pairs on the left, 3 on the right.
            var configuration = [UInt8](repeating: 0, count: 64)
            configuration[0] = 1
            for (tile, (rows, bytes)) in [(2, 8), (2, 16), (3, 8)].enumerated() {
                configuration[16 + 2 * tile] = UInt8(bytes)
                configuration[48 + tile] = UInt8(rows)
            }
            emulated_tile_load_configuration(configuration)
            emulated_tile_dot(0, 1, 2)
        }
    }

    /// The state of the thread's arithmetic is as before.
    @Test func denormalNumbersStayWhatTheyAreElsewhere() {
        var random = SplitMix(state: 3)
        let (left, right) = (numbers(.tiny, 512, &random), numbers(.tiny, 512, &random))
        _ = emulated(
            configuration(rows: 16, columns: 16, pairs: 16),
            sums(.tiny, &random),
            left,
            right
        )
        let half = Float.leastNormalMagnitude * Float(left.count) / 1024
        #expect(half.isSubnormal)
    }

    /// Any order of n additions differs from the exact sum by less than n roundings of the sum of magnitudes.
    @Test func theProcessorsTilesAreWithinTheBoundOfEveryOrder() {
        var random = SplitMix(state: 5)
        let configuration = configuration(rows: 16, columns: 16, pairs: 16)
        for _ in 0..<20 {
            let (left, right) = (numbers(.usual, 512, &random), numbers(.usual, 512, &random))
            let sums = sums(.usual, &random)
            var found = sums
            guard processor_tile_dot(configuration, &found, left, right) else { return }
            for (place, (one, other)) in zip(emulated(configuration, sums, left, right), found).enumerated() {
                let (m, n) = (place / 16, place % 16)
                let terms = (0..<32).map {
                    abs(wide(left[32 * m + $0]) * wide(right[$0 / 2 * 32 + 2 * n + $0 % 2]))
                }
                let magnitude = terms.reduce(abs(sums[place]), +)
                #expect(abs(one - other) <= 2 * 33 * Float.ulpOfOne * magnitude)
            }
        }
    }

    @Test func pairsAreAddedAsTheProcessorDoes() {
        var random = SplitMix(state: 7)
        for kind in Kind.allCases {
            for _ in 0..<500 {
                let (left, right) = (numbers(kind, 32, &random), numbers(kind, 32, &random))
                let sums = Array(sums(kind, &random).prefix(16))
                // VDPBF16PS adds the second products first.
                let expected = (0..<16).map {
                    fused(
                        fused(flushed(sums[$0]), wide(left[2 * $0 + 1]), wide(right[2 * $0 + 1])),
                        wide(left[2 * $0]),
                        wide(right[2 * $0])
                    )
                }
                var (found, processor) = (sums, sums)
                emulated_dot_pairs(&found, left, right)
                #expect(zip(found, expected).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
                guard processor_dot_pairs(&processor, left, right) else { continue }
                #expect(zip(found, processor).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN })
            }
        }
    }

    @Test func numbersAreRoundedAsTheProcessorDoes() {
        let half = Float(1 + 1.0 / 256)
        let cases: [(Float, UInt16)] = [
            (1, 0x3f80), (half, 0x3f80), (half.nextUp, 0x3f81), (half + 1.0 / 128, 0x3f82), (-half.nextUp, 0xbf81),
            (.leastNonzeroMagnitude, 0), (-.leastNonzeroMagnitude, 0x8000), (.leastNormalMagnitude, 0x0080),
            (.greatestFiniteMagnitude, 0x7f80), (-.infinity, 0xff80), (Float(bitPattern: 0x7f80_0001), 0x7fc0),
            (Float(bitPattern: 0xffc1_2345), 0xffc1),
        ]
        for (number, expected) in cases {
            var (found, processor) = ([UInt16](repeating: 1, count: 16), [UInt16](repeating: 2, count: 16))
            let numbers = [Float](repeating: number, count: 16)
            emulated_round(&found, numbers)
            #expect(found == [UInt16](repeating: expected, count: 16), "\(number)")
            guard processor_round(&processor, numbers) else { continue }
            #expect(found == processor, "\(number)")
        }
    }
}
