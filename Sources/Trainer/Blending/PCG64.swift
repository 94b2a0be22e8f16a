/// The random numbers of numpy's `default_rng`, so that a blend has the order that the package datasets gives it.
///
/// PCG64 is a 128-bit linear congruential generator with the output function XSL-RR (O'Neill, HMC-CS-2014-0905, 2014); its
/// start is made of the seed by `SeedSequence` (numpy 2, bit_generator.pyx and pcg64.h).
struct PCG64 {
    private var state: UInt128
    private let increment: UInt128

    private static let multiplier: UInt128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645

    /// The generator of a seed.
    init(seed: UInt64) {
        let words = SeedSequence(seed).words(8)
        func long(_ index: Int) -> UInt128 { UInt128(words[2 * index]) | UInt128(words[2 * index + 1]) << 32 }
        let (start, sequence) = (long(0) << 64 | long(1), long(2) << 64 | long(3))
        increment = sequence << 1 | 1
        state = (increment &+ start) &* Self.multiplier &+ increment
    }

    /// 64 random bits.
    mutating func next() -> UInt64 {
        state = state &* Self.multiplier &+ increment
        let word = UInt64(truncatingIfNeeded: state >> 64) ^ UInt64(truncatingIfNeeded: state)
        let turn = Int(state >> 122)
        return word >> turn | word << ((64 - turn) & 63)
    }

    /// A number of at least 0 and less than 1, with 53 random bits.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Spreads the bits of a seed over the words that a generator starts from.
private struct SeedSequence {
    private var pool: [UInt32] = []

    init(_ seed: UInt64) {
        var factor: UInt32 = 0x43b0_d7e5
        func spread(_ value: UInt32) -> UInt32 {
            var value = value ^ factor
            factor = factor &* 0x931e_8875
            value = value &* factor
            return value ^ value >> 16
        }
        for word in [UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32), 0, 0] { pool.append(spread(word)) }
        for source in pool.indices {
            for target in pool.indices where target != source {
                let mixed = pool[target] &* 0xca01_f9dd &- spread(pool[source]) &* 0x4973_f715
                pool[target] = mixed ^ mixed >> 16
            }
        }
    }

    func words(_ count: Int) -> [UInt32] {
        var factor: UInt32 = 0x8b51_f9dd
        return (0..<count).map { index in
            var value = pool[index % pool.count] ^ factor
            factor = factor &* 0x58f3_8ded
            value = value &* factor
            return value ^ value >> 16
        }
    }
}
