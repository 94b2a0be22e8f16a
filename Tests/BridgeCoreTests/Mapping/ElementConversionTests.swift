import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// Conversions between element types, against arithmetic on doubles.
@Suite struct ElementConversionTests {
    private func converted(_ bytes: [UInt8], _ from: ElementType, _ to: ElementType) throws -> [UInt8] {
        let storage = MemoryStorage(name: "numbers", bytes: bytes)
        let tensor = StoredTensor(
            name: "numbers",
            elementType: from,
            shape: [bytes.count / from.byteCount],
            storage: storage,
            offset: 0
        )
        return try TensorReader().bytes(of: TensorView(tensor).cast(to: to))
    }

    private func floats(_ bytes: [UInt8]) -> [Float] {
        stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * $1) })
        }
    }

    private func bytes(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.bitPattern, Array.init) }
    }

    /// The number that a pattern of a small float stands for: sign, exponent and fraction by the book.
    private func value(_ bits: Int, exponent: Int, fraction: Int, hasInfinity: Bool) -> Double {
        let sign: Double = bits >> (exponent + fraction) & 1 == 1 ? -1 : 1
        let (e, f) = (bits >> fraction & (1 << exponent - 1), bits & (1 << fraction - 1))
        let bias = 1 << (exponent - 1) - 1
        func power(_ n: Int) -> Double { n >= 0 ? Double(1 << n) : 1 / Double(1 << -n) }
        if hasInfinity, e == 1 << exponent - 1 { return f == 0 ? sign * .infinity : .nan }
        if !hasInfinity, bits & (1 << (exponent + fraction) - 1) == 1 << (exponent + fraction) - 1 { return .nan }
        if e == 0 { return sign * Double(f) * power(1 - bias - fraction) }
        return sign * (1 + Double(f) * power(-fraction)) * power(e - bias)
    }

    @Test(arguments: [(ElementType.float16, 5, 10, true), (.float8E4M3, 4, 3, false), (.float8E5M2, 5, 2, true)])
    func everyPatternOfASmallFloatBecomesItsNumber(
        _ type: ElementType,
        _ exponent: Int,
        _ fraction: Int,
        _ hasInfinity: Bool
    ) throws {
        let patterns = 0..<1 << (1 + exponent + fraction)
        let source = patterns.flatMap { pattern in
            (0..<type.byteCount).map { UInt8(truncatingIfNeeded: pattern >> (8 * $0)) }
        }
        for (pattern, found) in zip(patterns, floats(try converted(source, type, .float32))) {
            let expected = Float(value(pattern, exponent: exponent, fraction: fraction, hasInfinity: hasInfinity))
            #expect(found == expected && found.sign == expected.sign || found.isNaN && expected.isNaN, "\(pattern)")
        }
    }

    @Test func everyBfloat16IsTheUpperHalfOfItsFloat() throws {
        let source = (0..<1 << 16).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        for (pattern, found) in zip(UInt32(0)..., floats(try converted(source, .bfloat16, .float32))) {
            #expect(found.bitPattern == pattern << 16)
        }
    }

    /// For each representable neighbour pair: the numbers below, at and above the middle go where they should.
    @Test(arguments: [(ElementType.float16, 5, 10), (.bfloat16, 8, 7)])
    func roundingGoesToTheNearestAndToEvenInTheMiddle(_ type: ElementType, _ exponent: Int, _ fraction: Int) throws {
        var inputs: [Float] = []
        var expected: [Int] = []
        for pattern in stride(from: 0, to: 1 << (exponent + fraction) - 2, by: 7) {
            let low =
                type == .bfloat16
                ? Double(Float(bitPattern: UInt32(pattern) << 16))
                : value(pattern, exponent: exponent, fraction: fraction, hasInfinity: true)
            let high =
                type == .bfloat16
                ? Double(Float(bitPattern: UInt32(pattern + 1) << 16))
                : value(pattern + 1, exponent: exponent, fraction: fraction, hasInfinity: true)
            guard high.isFinite else { continue }
            let middle = Float((low + high) / 2)
            guard Double(middle) == (low + high) / 2, middle.isNormal else { continue }
            inputs += [middle.nextDown, middle, middle.nextUp, -middle]
            let even = pattern % 2 == 0 ? pattern : pattern + 1
            expected += [pattern, even, pattern + 1, even | 1 << (exponent + fraction)]
        }
        #expect(inputs.count > 4000)
        let found = try converted(bytes(inputs), .float32, type)
        for index in inputs.indices {
            #expect(Int(found[2 * index]) | Int(found[2 * index + 1]) << 8 == expected[index], "\(inputs[index])")
        }
    }

    @Test func whatIsTooLargeBecomesInfinityAndNaNStaysNaN() throws {
        let inputs: [Float] = [65519.99, 65520, -70000, .infinity, .nan, 3.4e38]
        let half = try converted(bytes(inputs), .float32, .float16)
        let patterns = stride(from: 0, to: half.count, by: 2).map { Int(half[$0]) | Int(half[$0 + 1]) << 8 }
        #expect(Array(patterns[0..<4]) == [0x7BFF, 0x7C00, 0xFC00, 0x7C00])
        #expect(patterns[4] & 0x7C00 == 0x7C00 && patterns[4] & 0x3FF != 0)
        let brain = try converted(bytes(inputs), .float32, .bfloat16)
        #expect(Int(brain[8]) | Int(brain[9]) << 8 & 0x7F80 == 0x7FC0 & 0x7F80 | Int(brain[8]))
        #expect(Int(brain[10]) | Int(brain[11]) << 8 == 0x7F80)
    }

    @Test(arguments: ["ministral3-fp8", "ministral3-fp8-row", "ministral3-fp8-block"])
    func quantisedWeightsBecomeTheNumbersThatTorchMakes(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        try bridge.importCheckpoint(
            to: directory.path("m"),
            options: ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2))
        )
        try bridge.exportCheckpoint(from: directory.path("m"), to: directory.path("out"))
        let exported = try SlowTensor.readAll(directory.path("out"), prefix: "model")
        let recorded = try SlowTensor.read("\(Fixtures.root)/reference/\(name).safetensors").filter {
            $0.key.hasPrefix("dequantised.")
        }
        #expect(recorded.count >= 2)
        for (key, tensor) in recorded {
            // The last rows of the weight are recorded.
            let found = try #require(exported[String(key.dropFirst("dequantised.".count))])
            #expect(found.rows(found.rows.count - tensor.rows.count..<found.rows.count) == tensor, "\(key)")
        }
        #expect(exported.keys.allSatisfy { !$0.contains("scale") })
    }
}
