import TestSupport
import Testing

@testable import TensorRuntime

/// Matrices of whole numbers of 4 and 8 bits, at every instruction level.
@Suite struct QuantizedTests {
    /// A matrix and how it is quantized.
    struct Case: CustomTestStringConvertible, Sendable {
        var format: QuantizedFormat
        var rows: Int, columns: Int

        var testDescription: String {
            "\(format.bits) bits, groups of \(format.groupSize ?? columns), [\(rows), \(columns)]"
        }

        /// Rows of one block and of many, with ends that fill no vector.
        static let all = QuantizedFormat.supportedBits.flatMap { bits in
            [(32, 32), (32, 96), (32, 4160), (64, 64), (64, 320), (128, 128), (128, 384), (nil, 23), (nil, 300)]
                .compactMap {
                    (group: Int?, columns) in
                    QuantizedFormat(bits: bits, groupSize: group).map {
                        Case(format: $0, rows: columns > 1000 ? 17 : 21, columns: columns)
                    }
                }
        }

        /// Those whose elements are all looked at, one by one.
        static let small = all.filter { $0.columns < 1000 }

        func matrix(_ type: ElementType = .bfloat16, on engine: any TensorEngine) -> (source: Tensor, QuantizedMatrix) {
            let source = tensor(numbers(rows * columns, seed: 3), [rows, columns], type, on: engine)
            return (source, QuantizedMatrix(quantizing: source, format))
        }
    }

    /// The numbers of a row of bytes.
    private func number(_ bytes: [UInt8], _ rowByteCount: Int, _ row: Int, _ column: Int, bits: Int) -> Int {
        let byte = Int(bytes[row * rowByteCount + column * bits / 8])
        return bits == 8 ? byte - 128 : (byte >> (column % 2 * 4) & 15) - 8
    }

    private func bytes(_ tensor: Tensor) -> [UInt8] {
        var bytes: [UInt8] = []
        tensor.engine.download(tensor) { bytes = Array($0) }
        return bytes
    }

    @Test(arguments: Level.all, Case.small)
    func numbersAndFactorsAreThoseOfTheFormula(_ level: Level, _ example: Case) {
        let (source, matrix) = example.matrix(on: level.engine)
        let (values, scales) = (source.floats(), matrix.scales.floats())
        let (bits, columns) = (example.format.bits, example.columns)
        let stored = bytes(matrix.values)
        let width = example.format.groupSize ?? columns
        for row in [0, 3, example.rows - 1] {
            var (expected, expectedScales): ([Int], [Float]) = ([], [])
            for first in stride(from: 0, to: columns, by: width) {
                let group = values[row * columns + first..<row * columns + min(first + width, columns)]
                // Of two with the same magnitude it is the positive one.
                let (low, high) = (min(group.min() ?? 0, 0), max(group.max() ?? 0, 0))
                let extreme = -low > high ? low : high
                let scale = ElementType.bfloat16.rounded(bits == 4 ? extreme / -8 : extreme.magnitude / 127)
                expectedScales.append(scale)
                expected += group.map {
                    let number = ($0 * (1 / scale)).rounded(.toNearestOrEven)
                    return min(max(Int(number), bits == 4 ? -8 : -127), bits == 4 ? 7 : 127)
                }
            }
            let groups = columns / width
            #expect(Array(scales[row * groups..<(row + 1) * groups]) == expectedScales)
            #expect(
                (0..<columns).map { number(stored, matrix.values.shape[1], row, $0, bits: bits) } == expected
            )
        }
    }

    @Test(arguments: Level.all, Case.small)
    func whatIsReadIsNumberTimesFactor(_ level: Level, _ example: Case) {
        let (_, matrix) = example.matrix(on: level.engine)
        let (stored, scales) = (bytes(matrix.values), matrix.scales.floats())
        let columns = example.columns
        let width = example.format.groupSize ?? columns
        let expected = (0..<example.rows * columns).map { place in
            let (row, column) = (place / columns, place % columns)
            return Float(number(stored, matrix.values.shape[1], row, column, bits: example.format.bits))
                * scales[row * (columns / width) + column / width]
        }
        #expect(matrix.tensor(as: .float32).floats() == expected)
        #expect(matrix.tensor(as: .bfloat16).floats() == expected.map(ElementType.bfloat16.rounded))
        // An operation that knows no numbers: the sum of each element and zero.
        let tensor = matrix.tensor(as: .float32)
        #expect((tensor + Tensor.zeros(tensor.shape, .float32, on: level.engine)).floats() == expected)
        let rows: [Int32] = [16, 0, 7, 7]
        #expect(
            tensor.rows(rows).floats() == rows.flatMap { expected[Int($0) * columns..<(Int($0) + 1) * columns] }
        )
    }

    /// Products of few rows and of many, of one weight and of several.
    @Test(arguments: Level.all, Case.all)
    func productsAreThoseOfWhatIsRead(_ level: Level, _ example: Case) {
        let (_, matrix) = example.matrix(on: level.engine)
        let columns = example.columns
        for type in [ElementType.float32, .bfloat16] {
            let weight = matrix.tensor(as: type)
            let part = weight.narrowed(0, to: 5..<16)
            let dense = tensor(numbers(3 * columns, seed: 8), [3, columns], type, on: level.engine)
            let exact = matrix.tensor(as: .float32).floats().map(Double.init)
            for count in [1, 3, 8, 33] {
                let x = tensor(numbers(count * columns, seed: UInt64(count)), [count, columns], type, on: level.engine)
                let rows = x.floats().map(Double.init)
                let outs = x.projected([weight, dense, part], outputType: .float32)
                for (out, first) in [(outs[0], 0), (outs[2], 5)] {
                    // Some of the results: those of the first and the last row, and of weights that share no block.
                    let (height, values) = (out.shape[1], out.floats())
                    for (row, column) in Set([0, count - 1]).flatMap({ row in [0, 7, height - 1].map { (row, $0) } }) {
                        var (sum, magnitude) = (0.0, 0.0)
                        for place in 0..<columns {
                            let term = rows[row * columns + place] * exact[(first + column) * columns + place]
                            sum += term
                            magnitude += term.magnitude
                        }
                        // Many rows are multiplied by weights that are rounded to the type.
                        let bound = count > 8 && type == .bfloat16 ? 0x1p-8 : 1e-4
                        #expect(abs(Double(values[row * height + column]) - sum) <= bound * magnitude)
                    }
                }
                #expect(outs[1].floats() == x.projected([dense], outputType: .float32)[0].floats())
            }
        }
    }

    @Test(arguments: Level.all, [QuantizedFormat(bits: 4, groupSize: 32), QuantizedFormat(bits: 8, groupSize: nil)])
    func gradientsPassThroughQuantizedWeights(_ level: Level, _ format: QuantizedFormat?) throws {
        let example = Case(format: try #require(format), rows: 30, columns: 160)
        let (_, matrix) = example.matrix(.float32, on: level.engine)
        let weight = matrix.tensor(as: .float32)
        let plain = Tensor(weight.floats(), shape: weight.shape, on: level.engine)
        let values = numbers(6 * 160, seed: 5)
        func gradient(_ weight: Tensor) throws -> [Float] {
            let x = tensor(values, [6, 160], on: level.engine).trackingGradient()
            let loss = try x.projected(weight).crossEntropyOfLogits(
                targets: [0, 3, 29, 7, 11, 2],
                weights: [Float](repeating: 1, count: 6)
            )
            return try #require(try Gradients(of: loss)[x]).floats()
        }
        expectClose(try gradient(weight), try gradient(plain).map(Double.init), 1e-4)
        // The output layer is read in parts.
        let x = tensor(values, [6, 160], on: level.engine)
        for limit in [1 << 10, 1 << 28] {
            let losses = try [weight, plain].map {
                try x.crossEntropy(
                    $0,
                    targets: [0, 3, 29, 7, 11, 2],
                    weights: .init(repeating: 1, count: 6),
                    byteLimit: limit
                )
                .item
            }
            #expect(abs(losses[0] - losses[1]) <= 1e-4 * losses[1])
        }
    }

    @Test(arguments: Level.all, [Float.nan, .infinity, -.infinity])
    func aGroupWithoutFiniteWeightsIsNotANumber(_ level: Level, _ value: Float) throws {
        var values = numbers(128, seed: 2)
        values[70] = value
        let source = Tensor(values, shape: [1, 128], on: level.engine)
        for bits in [4, 8] {
            let matrix = QuantizedMatrix(quantizing: source, try #require(QuantizedFormat(bits: bits, groupSize: 64)))
            let read = matrix.tensor(as: .float32).floats()
            #expect(read[..<64].allSatisfy(\.isFinite) && read[64...].allSatisfy(\.isNaN))
            let x = Tensor([Float](repeating: 1, count: 128), shape: [1, 128], on: level.engine)
            #expect(x.projected(matrix.tensor(as: .float32)).floats()[0].isNaN)
        }
    }

    @Test(arguments: Level.all)
    func rowsThatAreNotFiniteMakeProductsThatAreNotNumbers(_ level: Level) throws {
        let example = Case(format: try #require(QuantizedFormat(bits: 4, groupSize: 32)), rows: 5, columns: 96)
        let weight = example.matrix(on: level.engine).1.tensor(as: .float32)
        for value in [Float.nan, .infinity, .leastNonzeroMagnitude, 0] {
            var values = numbers(2 * 96, seed: 2)
            values.replaceSubrange(32..<64, with: [Float](repeating: value, count: 32))
            let out = Tensor(values, shape: [2, 96], on: level.engine).projected(weight).floats()
            #expect(out[..<5].allSatisfy { $0.isNaN != value.isFinite } && out[5...].allSatisfy(\.isFinite))
        }
    }

    @Test func onlyFormatsOfKernelsExist() {
        #expect(QuantizedFormat(bits: 3, groupSize: 64) == nil && QuantizedFormat(bits: 4, groupSize: 48) == nil)
        let format = QuantizedFormat(bits: 4, groupSize: 64)
        #expect(format?.divides(128) == true && format?.divides(96) == false)
        // 64 numbers and a factor.
        #expect(format?.byteCount(rows: 3, columns: 64) == 3 * (32 + 2))
    }
}
