import TestSupport
import Testing

@testable import TensorRuntime

/// Matrix products by every library and by the kernels for few rows.
@Suite struct ProductTests {
    /// [..., m, k] times [..., k, n].
    private func product(_ batch: Int, _ m: Int, _ k: Int, _ n: Int) -> ([[Double]]) -> [Double] {
        { inputs in
            (0..<batch * m * n).map { place in
                let (matrix, row, column) = (place / (m * n), place / n % m, place % n)
                return (0..<k).reduce(0) {
                    $0 + inputs[0][(matrix * m + row) * k + $1] * inputs[1][(matrix * k + $1) * n + column]
                }
            }
        }
    }

    private func projection(_ m: Int, _ k: Int, _ n: Int) -> ([[Double]]) -> [Double] {
        { inputs in
            (0..<m * n).map { place in
                (0..<k).reduce(0) { $0 + inputs[0][place / n * k + $1] * inputs[1][place % n * k + $1] }
            }
        }
    }

    @Test(arguments: Level.all, Layout.allCases)
    func matricesAreMultiplied(_ level: Level, _ layout: Layout) {
        for (batch, m, k, n) in [(1, 1, 1, 1), (2, 3, 5, 4), (1, 17, 6, 9), (3, 1, 7, 2)] {
            let check = OperationCheck(
                shapes: [[batch, m, k], [batch, k, n]],
                operation: { $0[0].matrixProduct($0[1]) },
                formula: product(batch, m, k, n)
            )
            check.runBothTypes(on: level.engine, layout)
        }
    }

    @Test(arguments: Level.all, Layout.allCases)
    func fewRowsAreProjected(_ level: Level, _ layout: Layout) {
        for (m, k, n) in [(1, 1, 1), (1, 70, 6), (2, 33, 5), (3, 16, 5), (4, 40, 3), (6, 9, 5)] {
            let check = OperationCheck(
                shapes: [[m, k], [n, k]],
                operation: { $0[0].projected([$0[1]])[0] },
                formula: projection(m, k, n)
            )
            check.runBothTypes(on: level.engine, layout, float32Gradients: 1)
        }
    }

    @Test(arguments: Level.all)
    func severalWeightsShareTheirRows(_ level: Level) {
        let x = tensor(numbers(2 * 24, seed: 1), [2, 1, 24], on: level.engine)
        let weights = [5, 18, 1].map { tensor(numbers($0 * 24, seed: UInt64($0)), [$0, 24], on: level.engine) }
        for (out, weight) in zip(x.projected(weights), weights) {
            let exact = [x, weight].map { $0.floats().map(Double.init) }
            #expect(out.shape == [2, 1, weight.shape[0]])
            expectClose(out.floats(), projection(2, 24, weight.shape[0])(exact), 1e-5)
        }
    }

    /// Weights that are mapped from a file are wherever the file has them.
    @Test(arguments: Level.all, [ElementType.float32, .bfloat16])
    func aProductDoesNotDependOnTheAddressOfItsWeights(_ level: Level, _ type: ElementType) {
        final class Memory: Sendable {
            nonisolated(unsafe) let bytes = UnsafeMutableRawPointer.allocate(byteCount: 1 << 16, alignment: 64)
            deinit { bytes.deallocate() }
        }
        let (rows, columns) = (33, 70)
        let original = tensor(numbers(rows * columns, seed: 4), [rows, columns], type, on: level.engine)
        for count in [1, 3, 23] {
            let x = tensor(numbers(count * columns, seed: 9), [count, columns], type, on: level.engine)
            let results = [0, 4, 60].map { offset in
                let memory = Memory()
                let byteCount = rows * columns * type.byteCount
                level.engine.download(original) {
                    if let start = $0.baseAddress {
                        (memory.bytes + offset).copyMemory(from: start, byteCount: byteCount)
                    }
                }
                let storage = level.engine.makeStorage(
                    mapping: UnsafeRawBufferPointer(start: memory.bytes + offset, count: byteCount),
                    owner: memory,
                    for: level.engine
                )
                let weights = Tensor(storage: storage, elementType: type, shape: [rows, columns])
                return x.projected([weights])[0].floats()
            }
            #expect(results[1] == results[0] && results[2] == results[0], "\(count) rows")
        }
    }

    @Test(arguments: Level.all)
    func aProjectionMayHaveABiasAndAnotherType(_ level: Level) {
        OperationCheck(
            shapes: [[3, 8], [5, 8], [5]],
            operation: { $0[0].projected($0[1], bias: $0[2], outputType: .float32) },
            formula: { inputs in
                zip(self.projection(3, 8, 5)(inputs), (0..<15).map { inputs[2][$0 % 5] }).map(+)
            }
        ).run(
            on: level.engine,
            .bfloat16,
            tolerance: bfloat16Tolerance,
            gradientTypes: [.bfloat16, .float32, .bfloat16]
        )
    }

    /// Every library that this machine has, each as an engine's only one.
    static let libraries: [any MatrixLibrary] = {
        _ = TestEngine.level
        return [OpenBLASLibrary()]
            + [AMXLibrary() as (any MatrixLibrary)?, OneDNNLibrary(.float32), OneDNNLibrary(.bfloat16)]
            .compactMap(\.self)
    }()

    @Test(arguments: libraries.indices, [(70, 300, 41), (33, 40, 300), (5, 513, 64), (6, 1, 9), (1, 7, 5), (7, 6, 1)])
    func everyLibraryMultipliesAllLayouts(_ library: Int, _ size: (m: Int, k: Int, n: Int)) {
        // Pieces are cut by columns and rows, and blocks inside a library end where the matrix does not.
        let engine = TestEngine.cpu(threadCount: 2, libraries: [Self.libraries[library]])
        let (m, k, n) = size
        for type in [ElementType.float32, .bfloat16] where Self.libraries[library].supports(inputs: type, output: type)
        {
            for (left, right) in [(Layout.plain, Layout.permuted), (.permuted, .narrowed), (.narrowed, .plain)] {
                let a = tensor(numbers(m * k, seed: 1), [m, k], type, left, on: engine)
                let b = tensor(numbers(k * n, seed: 2), [k, n], type, right, on: engine)
                let expected = product(1, m, k, n)([a, b].map { $0.floats().map(Double.init) })
                expectClose(a.matrixProduct(b).floats(), expected, type == .float32 ? 1e-5 : 0.004)
                let out = tensor(numbers(m * n, seed: 3), [m, n], .float32, .narrowed, on: engine)
                let start = out.floats()
                engine.multiply(a, b, into: out, adding: true)
                expectClose(out.floats(), zip(expected, start).map { $0 + Double($1) }, 1e-5)
            }
        }
    }

    /// Right tiles are made for some blocks after the others, and left ones before or on the way.
    @Test(arguments: [
        (m: 40, k: 2080, n: 650), (m: 650, k: 2080, n: 40), (m: 96, k: 32, n: 1100), (m: 760, k: 64, n: 752),
    ])
    func largeProductsDoNotDependOnHowTheyAreCut(_ size: (m: Int, k: Int, n: Int)) throws {
        _ = TestEngine.level
        let variants = [
            AMXLibrary(), AMXLibrary(rightBytes: 1), AMXLibrary(leftBytes: 0), AMXLibrary(rightBytes: 1, leftBytes: 0),
        ]
        .compactMap(\.self)
        guard !variants.isEmpty else { return }
        let (m, k, n) = size
        let exact = TestEngine.cpu(threadCount: 2, libraries: [OpenBLASLibrary()])
        for (left, right) in [
            (Layout.plain, Layout.plain), (.permuted, .plain), (.plain, .permuted), (.permuted, .permuted),
        ] {
            let results = variants.map { library in
                let engine = TestEngine.cpu(threadCount: 2, libraries: [library])
                let a = tensor(numbers(m * k, seed: 1), [m, k], .bfloat16, left, on: engine)
                let b = tensor(numbers(k * n, seed: 2), [k, n], .bfloat16, right, on: engine)
                let out = Tensor(uninitialized: [m, n], .float32, on: engine)
                engine.fill(out, with: 1)
                engine.multiply(a, b, into: out, adding: true)
                let sum = Tensor(uninitialized: [m, n], .float32, on: engine)
                engine.multiplySum([a, a], [b, b], into: sum)
                return out.floats() + sum.floats()
            }
            let a = tensor(numbers(m * k, seed: 1), [m, k], .bfloat16, on: exact).cast(to: .float32)
            let b = tensor(numbers(k * n, seed: 2), [k, n], .bfloat16, on: exact).cast(to: .float32)
            let product = a.matrixProduct(b).floats().map(Double.init)
            expectClose(results[0], product.map { $0 + 1 } + product.map { 2 * $0 }, 1e-5)
            for result in results.dropFirst() { #expect(result == results[0]) }
            // A large result that nothing is added to is written past the caches.
            let engine = TestEngine.cpu(threadCount: 2, libraries: [variants[0]])
            let plain = tensor(numbers(m * k, seed: 1), [m, k], .bfloat16, left, on: engine)
                .matrixProduct(
                    tensor(numbers(k * n, seed: 2), [k, n], .bfloat16, right, on: engine),
                    outputType: .float32
                )
            expectClose(plain.floats(), product, 1e-5)
        }
    }

    /// Several products with one right matrix, and their sums: as one product after the other gives them.
    @Test(arguments: Level.all, [ElementType.float32, .bfloat16])
    func severalProductsAreMultipliedTogether(_ level: Level, _ type: ElementType) {
        let tolerance = type == .float32 ? 1e-5 : 0.004
        for (heights, k, n) in [([5], 7, 3), ([64, 33, 9], 65, 70), ([32, 32], 1060, 7), ([550, 20], 33, 9)] {
            for (left, right) in [(Layout.plain, Layout.plain), (.permuted, .narrowed)] {
                let engine = level.engine
                let b = tensor(numbers(k * n, seed: 2), [k, n], type, right, on: engine)
                let lefts = heights.map { tensor(numbers($0 * k, seed: UInt64($0)), [$0, k], type, left, on: engine) }
                let outs = heights.map { tensor(numbers($0 * n, seed: 3), [$0, n], .float32, on: engine) }
                let starts = outs.map { $0.floats() }
                let adding = heights.indices.map { $0 % 2 == 1 }
                engine.multiply(lefts, b, into: outs, adding: adding)
                for (index, m) in heights.enumerated() {
                    let exact = product(1, m, k, n)([lefts[index], b].map { $0.floats().map(Double.init) })
                    let start = starts[index].map { adding[index] ? Double($0) : 0 }
                    expectClose(outs[index].floats(), zip(exact, start).map(+), 1e-5)
                }
                // The transposed products: the sum over the heights.
                let turned = lefts.map { $0.transposed() }
                let rights = heights.map { tensor(numbers($0 * n, seed: 4), [$0, n], type, right, on: engine) }
                for result in [type, .float32] {
                    let sum = Tensor(uninitialized: [k, n], result, on: engine)
                    engine.multiplySum(turned, rights, into: sum)
                    let exact = zip(turned, rights).map {
                        product(1, k, $0.shape[1], n)([$0, $1].map { $0.floats().map(Double.init) })
                    }
                    let total = exact.dropFirst().reduce(exact[0]) { zip($0, $1).map(+) }
                    expectClose(sum.floats(), total, result == .float32 ? 1e-5 : tolerance)
                }
            }
        }
    }
}
