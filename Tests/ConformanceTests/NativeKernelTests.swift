import BridgeCore
import Foundation
import PluginConformance
import TensorRuntime
import TestSupport
import Testing

/// Kernels in plain C: Examples/Plugins/Softcap, and some that are declared wrongly.
@Suite struct NativeKernelTests {
    private static let engine = TestEngine.cpu(threadCount: 1)
    private static let example = "\(Fixtures.repository)/Examples/Plugins/Softcap/softcap.c"

    /// Compiles a library into a directory; its path.
    private static func compiled(_ source: String, in scratch: TemporaryDirectory, _ name: String = "Kernel") throws
        -> String
    {
        try Data(source.utf8).write(to: scratch.url("\(name).c"))
        let path = scratch.path("lib\(name)Plugin.so")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "clang", "-O2", "-shared", "-fPIC", "-I", "\(Fixtures.repository)/Sources/BridgeCore/CPluginABI/include",
            "-o", path,
            scratch.path("\(name).c"), "-lm",
        ]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return path
    }

    private static func softcap(_ scratch: TemporaryDirectory) throws -> (path: String, kernel: NativeKernel) {
        let path = try compiled(String(contentsOfFile: example, encoding: .utf8), in: scratch)
        return (path, try PluginCatalog(files: [path], directories: []).kernels.kernel("softcap"))
    }

    private static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was thrown"
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }

    /// The block of the article PluginABI is a whole plugin.
    @Test func theExampleOfTheArticleIsLoaded() throws {
        let article = "\(Fixtures.repository)/Sources/BridgeCore/BridgeCore/Documentation.docc/PluginABI.md"
        let parts = try String(contentsOfFile: article, encoding: .utf8).components(separatedBy: "```")
        let block = try #require(parts.first { $0.hasPrefix("c\n") }).dropFirst(2)
        let scratch = try TemporaryDirectory()
        let path = try Self.compiled(String(block), in: scratch, "Article")
        let softcap = try PluginCatalog(files: [path], directories: []).kernels.kernel("softcap")
        let y = try softcap([Tensor([-3, 0.5], shape: [1, 2], on: Self.engine)], [2]).floats()
        #expect(gap(y, [-3, 0.5].map { Float(2 * tanh($0 / 2)) }).difference <= 1e-6)
    }

    /// y = c tanh(x / c), so dy/dx = 1 - tanh(x / c)^2; the input is not contiguous.
    @Test func valuesAndGradientsAreThoseOfTheFormula() throws {
        let softcap = try Self.softcap(TemporaryDirectory()).kernel
        let numbers = (0..<12).map { Float($0) * 0.7 - 4.1 }
        let x = Tensor(numbers, shape: [4, 3], on: Self.engine).trackingGradient()
        let transposed = x.transposed(0, 1)
        let y = try softcap([transposed], [1.75])
        #expect(y.shape == [3, 4])
        func value(_ row: Int, _ column: Int) -> Double { Double(numbers[column * 3 + row]) }
        let expected = (0..<12).map { Float(1.75 * tanh(value($0 / 4, $0 % 4) / 1.75)) }
        #expect(gap(y.floats(), expected).difference <= 1e-6)
        // The weights of the sum make each gradient another one.
        let weights = Tensor((0..<12).map { Float($0) + 1 }, shape: [3, 4], on: Self.engine)
        let gradient = try #require(Gradients(of: (y * weights).sum())[x]).floats()
        let derivatives = (0..<12).map { index -> Float in
            let (row, column) = (index % 3, index / 3)
            let t = tanh(value(row, column) / 1.75)
            return Float(Double(row * 4 + column + 1) * (1 - t * t))
        }
        #expect(gap(gradient, derivatives).difference <= 1e-5)
    }

    @Test func aModelUsesTheKernelUnderEveryLayout() throws {
        let scratch = try TemporaryDirectory()
        let path = try Self.softcap(scratch).path
        func results(_ files: [String]) throws -> [ConformanceResult] {
            try ConformanceSuite(
                catalog: PluginCatalog(linked: [MutatedPlugin(mutation: .cappedEmbeddings)], files: files),
                engine: Self.engine
            ).run(families: ["mutated"])
        }
        for result in try results([path]) where ![.checkpoint, .parity].contains(result.rule) {
            #expect(result.outcome == .kept, "\(result.rule): \(result.findings.map(\.sentence))")
        }
        let missing = try results([]).first { $0.rule == .weights }?.findings.first?.sentence ?? ""
        #expect(missing.contains("the model needs the kernel softcap, and no plugin has kernels"), "\(missing)")
    }

    @Test func otherArgumentsThanThoseOfTheSignatureAreErrors() throws {
        let softcap = try Self.softcap(TemporaryDirectory()).kernel
        func tensor(_ shape: [Int], _ type: ElementType = .float32) -> Tensor { .zeros(shape, type, on: Self.engine) }
        let wrong: [(tensors: [Tensor], numbers: [Double], words: String)] = [
            ([tensor([2, 3], .bfloat16)], [1], "x is bfloat16, expected float32"),
            ([tensor([6])], [1], "x has the shape [6], expected 2 dimensions"),
            ([tensor([1, 2, 3])], [1], "expected 2 dimensions"),
            ([tensor([2, 3])], [], "1 tensors and 0 numbers"),
            ([], [1], "0 tensors and 1 numbers"),
            ([tensor([2, 3])], [0], "the kernel softcap reports the error 1"),
        ]
        for (tensors, numbers, words) in wrong {
            let message = Self.message { _ = try softcap(tensors, numbers) }
            #expect(message.contains(words), "\(message)")
        }
        #expect(try softcap([tensor([0, 3])], [1]).shape == [0, 3])
    }

    @Test func sizesWithOneNameAreEqualAndExactOnesExact() throws {
        let scratch = try TemporaryDirectory()
        let source = Self.source(#"{"dot", "x: float32[N, 4], y: float32[N] -> z: float32[N]", "f", NULL}"#)
        let path = try Self.compiled(source, in: scratch)
        let dot = try PluginCatalog(files: [path], directories: []).kernels.kernel("dot")
        func tensor(_ shape: [Int]) -> Tensor { .zeros(shape, .float32, on: Self.engine) }
        #expect(Self.message { _ = try dot([tensor([3, 4]), tensor([2])]) }.contains("N is 2 in y and 3 before it"))
        #expect(
            Self.message { _ = try dot([tensor([3, 5]), tensor([3])]) }.contains("x has the shape [3, 5], expected 4")
        )
        #expect(try dot([tensor([3, 4]), tensor([3])]).floats() == [0, 0, 0])
        let trained = tensor([3, 4]).trackingGradient()
        #expect(Self.message { _ = try dot([trained, tensor([3])]) }.contains("has no backward symbol"))
        #expect(try withoutGradients { try dot([trained, tensor([3])]).shape } == [3])
    }

    private static func source(_ kernels: String, count: String = "1", size: String = "sizeof(bridge_kernel)") -> String
    {
        """
        #include <stddef.h>
        #include <bridge_plugin.h>
        int32_t f(const float *x, const float *y, float *z, int64_t n) {
            for (int64_t i = 0; i < n; i++) z[i] = x[4 * i] * y[i];
            return 0;
        }
        static const bridge_kernel kernels[] = {\(kernels)};
        static const bridge_kernel_table table = {\(size), \(count), kernels};
        const bridge_kernel_table *bridge_plugin_kernels(void) { return &table; }
        static const bridge_plugin_descriptor descriptor = {1u, sizeof(bridge_plugin_descriptor), NULL, NULL, "k", "1"};
        const bridge_plugin_descriptor *bridge_plugin_abi(void) { return &descriptor; }
        """
    }

    static let wrongTables: [(source: String, words: String)] = [
        (source(#"{"k", "x: float32[N] -> y: float32[N]", "g", NULL}"#), "does not export g"),
        (source(#"{"k", "x: float32[N] -> y: float32[N]", "f", "h"}"#), "does not export h"),
        (source(#"{"k", "x: float32[N] y: float32[N]", "f", NULL}"#), "has 0 arrows"),
        (source(#"{"k", "x: float64[N] -> y: float32[N]", "f", NULL}"#), "the element type \"float64\""),
        (source(#"{"k", "x: float32[N -> y: float32[N]", "f", NULL}"#), "has no ] after the sizes of x"),
        (source(#"{"k", "x: float32[N] -> y: float32[M]", "f", NULL}"#), "the size M in its result only"),
        (source(#"{"k", "x: float32[0] -> y: float32[3]", "f", NULL}"#), "the size \"0\" in x"),
        (source(#"{"k", "x: float32[] -> y: float32[3]", "f", NULL}"#), "the size \"\" in x"),
        (source(#"{"k", "x: int -> y: float32[3]", "f", NULL}"#), "the type \"int\""),
        (source(#"{"k", "x: float32[N] -> y: double", "f", NULL}"#), "expected one tensor"),
        (source(#"{"k", "x: double -> y: float32[3]", "f", NULL}"#), "has no input tensor"),
        (source(#"{"k", "x: double, x: float32[N] -> y: float32[N]", "f", NULL}"#), "has x twice"),
        (source(#"{"k", ": float32[N] -> y: float32[N]", "f", NULL}"#), "expected a name, a colon and a type"),
        (source(#"{"k", "", "f", NULL}"#), "has 0 arrows"),
        (source(#"{"k", NULL, "f", NULL}"#), "has no signature or no symbol"),
        (source(#"{"k", "x: float32[N] -> y: float32[N]", NULL, NULL}"#), "has no signature or no symbol"),
        (source(#"{NULL, "x: float32[N] -> y: float32[N]", "f", NULL}"#), "kernel 1 has no name"),
        (source(#"{"k", "", "f", NULL}"#, size: "8"), "has kernels of 8 bytes"),
        (source(#"{"k", "", "f", NULL}"#, count: "4000000000u"), "declares 4000000000 kernels"),
    ]

    @Test(arguments: wrongTables.indices) func aKernelThatIsDeclaredWronglyIsAnError(_ index: Int) throws {
        let (source, words) = Self.wrongTables[index]
        let scratch = try TemporaryDirectory()
        let path = try Self.compiled(source, in: scratch)
        let outcome = try BridgeProcess.run("models", "--plugin", path)
        expect(outcome, failsWith: 1, mentioning: path, words)
    }

    @Test func aLibraryWithKernelsIsListedAndTwoWithOneNameAreAnError() throws {
        let scratch = try TemporaryDirectory()
        let path = try Self.softcap(scratch).path
        let list = try BridgeProcess.run("plugins", "list", "--plugin", path)
        #expect(list.status == 0 && list.output.contains("softcap"), "\(list.output) \(list.errors)")
        let test = try BridgeProcess.run("plugins", "test", path)
        expect(test, failsWith: 64, mentioning: path, "has no family, only kernels")
        let other = try Self.compiled(String(contentsOfFile: Self.example, encoding: .utf8), in: scratch, "Other")
        let outcome = try BridgeProcess.run("models", "--plugin", path, "--plugin", other)
        expect(outcome, failsWith: 1, mentioning: path, other, "both have the kernel softcap")
    }
}
