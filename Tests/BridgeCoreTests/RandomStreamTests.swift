import CTensorKernels
import Testing

@Suite struct RandomStreamTests {
    static let types = [
        CTK_FLOAT32, CTK_BFLOAT16, CTK_FLOAT16, CTK_FLOAT64, CTK_FLOAT8_E4M3, CTK_FLOAT8_E5M2,
    ].map { $0.rawValue }

    private static func width(_ type: ctk_type) -> Int { [4, 2, 2, 8, 1, 1][Int(type.rawValue)] }

    private func bytes(
        _ type: ctk_type,
        _ isa: ctk_isa = CTK_AVX512,
        seed: UInt64 = 99,
        first: UInt64 = 0,
        center: Float = 0.3,
        scale: Float = 0.7,
        count: Int
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count * Self.width(type))
        bytes.withUnsafeMutableBytes { ctk_random_within(isa, $0.baseAddress, type, seed, first, center, scale, count) }
        return bytes
    }

    @Test(arguments: types) func everyInstructionSetMakesTheSameBytes(_ type: UInt32) {
        let type = ctk_type(rawValue: type)
        for (first, count) in [(UInt64(0), 5003), (7, 64), (1, 1), (UInt64(1) << 33 - 5, 4099)] {
            let portable = bytes(type, CTK_PORTABLE, first: first, count: count)
            #expect(bytes(type, CTK_AVX2, first: first, count: count) == portable)
            #expect(bytes(type, CTK_AVX512, first: first, count: count) == portable)
        }
    }

    @Test(arguments: types) func aPartIsThePartOfTheWhole(_ type: UInt32) {
        let type = ctk_type(rawValue: type)
        let start = UInt64(1) << 33 - 600
        let whole = bytes(type, first: start, count: 1300)
        for (skip, count) in [(0, 1), (1, 2), (3, 30), (31, 33), (599, 3), (601, 699), (1299, 1)] {
            let part = bytes(type, first: start + UInt64(skip), count: count)
            #expect(part[...] == whole[skip * Self.width(type)..<(skip + count) * Self.width(type)])
        }
    }

    @Test func theNumbersFillTheirRangeEvenly() {
        let numbers = bytes(CTK_FLOAT32, center: 0, scale: 1, count: 1 << 18)
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        #expect(numbers.allSatisfy { $0 >= -1 && $0 < 1 })
        let mean = numbers.reduce(0.0) { $0 + Double($1) } / Double(numbers.count)
        let square = numbers.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(numbers.count)
        let neighbours = zip(numbers, numbers.dropFirst()).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        // Five deviations of what chance allows: 0.58, 0.30 and 1/3, each over the root of the count.
        #expect(abs(mean) < 0.006)
        #expect(abs(square - 1.0 / 3) < 0.003)
        #expect(abs(neighbours / Double(numbers.count)) < 0.0033)
        var counts = [Int](repeating: 0, count: 64)
        for number in numbers { counts[Int((number + 1) * 32)] += 1 }
        #expect(counts.allSatisfy { abs($0 - 4096) < 330 })
    }

    @Test func seedsGiveUnrelatedStreams() {
        let one = bytes(CTK_FLOAT32, seed: 1, center: 0, scale: 1, count: 4096)
        let two = bytes(CTK_FLOAT32, seed: 2, center: 0, scale: 1, count: 4096)
        let (a, b) = (
            one.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) },
            two.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        )
        let product = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } / 4096
        #expect(abs(product) < 0.026)
        #expect(Set(a).intersection(b).count < 1024)
    }
}
