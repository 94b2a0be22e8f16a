import Glibc

/// Random values with random access: value i depends on seed, stream and i alone.
///
/// However a tensor is sharded over ranks or threads, each generates its part and all get the same values.
///
/// Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011), generator Philox 4x32-10.
public struct RandomStream: Sendable, Hashable {
    /// The seed of the run.
    public let seed: UInt64
    /// The stream of one use within a run.
    public let stream: UInt64

    /// A stream.
    public init(seed: UInt64, stream: UInt64) {
        self.seed = seed
        self.stream = stream
    }

    /// The stream of a use with a name, the same on every machine: the name's FNV-1a hash chooses among streams.
    public func named(_ name: String) -> RandomStream {
        let hash = name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return RandomStream(seed: seed, stream: stream ^ hash)
    }

    /// Values uniform in [0, 1), multiples of 2^-24.
    public func uniform(_ positions: Range<Int>) -> [Float] {
        numbers(positions) { words, lane in Float(words[lane] >> 8) * 0x1p-24 }
    }

    /// Values of the normal distribution with mean 0 and deviation 1.
    public func normal(_ positions: Range<Int>) -> [Float] {
        numbers(positions) { words, lane in
            // Box and Muller: two uniform values make two normal ones. The first is never 0, whose logarithm is
            // infinite.
            let first = (Double(words[lane & 2]) + 1) * 0x1p-32
            let angle = 2 * Double.pi * Double(words[lane & 2 + 1]) * 0x1p-32
            let radius = (-2 * log(first)).squareRoot()
            return Float(radius * (lane & 1 == 0 ? cos(angle) : sin(angle)))
        }
    }

    /// Two words that seed the random generators of an engine's kernels.
    public var keys: (UInt32, UInt32) {
        let words = block(.max)
        return (words.x, words.y)
    }

    private func numbers(_ positions: Range<Int>, _ number: (SIMD4<UInt32>, Int) -> Float) -> [Float] {
        var words = SIMD4<UInt32>()
        return positions.map { position in
            if position == positions.lowerBound || position % 4 == 0 { words = block(UInt64(position / 4)) }
            return number(words, position % 4)
        }
    }

    /// Words 4 `index` to 4 `index` + 3 of the stream.
    private func block(_ index: UInt64) -> SIMD4<UInt32> {
        func halves(_ word: UInt64) -> SIMD2<UInt32> { [UInt32(truncatingIfNeeded: word), UInt32(word >> 32)] }
        let (low, high) = (halves(index), halves(stream))
        return Self.philox(counter: [low.x, low.y, high.x, high.y], key: halves(seed))
    }

    /// The generator: ten rounds of multiplications over a counter.
    static func philox(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var (counter, key) = (counter, key)
        for _ in 0..<10 {
            let first = UInt32(0xd251_1f53).multipliedFullWidth(by: counter.x)
            let second = UInt32(0xcd9e_8d57).multipliedFullWidth(by: counter.z)
            counter = [second.high ^ counter.y ^ key.x, second.low, first.high ^ counter.w ^ key.y, first.low]
            key &+= [0x9e37_79b9, 0xbb67_ae85]
        }
        return counter
    }
}
