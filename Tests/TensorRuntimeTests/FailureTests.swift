import TestSupport
import Testing

@testable import TensorRuntime

/// A shape that does not fit stops the process and says which and where.
@Suite struct FailureTests {
    private static func text(_ result: ExitTest.Result?) -> String {
        String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    }

    @Test func shapesThatDoNotBroadcastAreNamed() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let engine = TestEngine.cpu(threadCount: 1)
            _ = Tensor.zeros([2, 3], .float32, on: engine) + Tensor.zeros([2, 4], .float32, on: engine)
        }
        #expect(Self.text(result).contains("add: the shapes do not stretch to one (float32[2, 3], float32[2, 4])"))
    }

    @Test func typesThatDifferAreNamed() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let engine = TestEngine.cpu(threadCount: 1)
            _ = Tensor.zeros([2], .float32, on: engine) * Tensor.zeros([2], .bfloat16, on: engine)
        }
        #expect(Self.text(result).contains("multiply: the types differ (float32[2], bfloat16[2])"))
    }

    @Test func matricesThatDoNotFitAreNamed() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let engine = TestEngine.cpu(threadCount: 1)
            _ = Tensor.zeros([2, 3], .float32, on: engine).matrixProduct(Tensor.zeros([2, 3], .float32, on: engine))
        }
        #expect(
            Self.text(result).contains("matrixProduct: the shapes or types do not fit (float32[2, 3], float32[2, 3])")
        )
    }

    @Test func rowsOutsideATableAreRefused() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            _ = Tensor.zeros([3, 2], .float32, on: TestEngine.cpu(threadCount: 1)).rows([0, 3])
        }
        #expect(Self.text(result).contains("rows: a row is not in the table (float32[3, 2])"))
    }

    @Test func masksThatDoNotFitAreRefused() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let x = Tensor.zeros([1, 3, 2, 4], .float32, on: TestEngine.cpu(threadCount: 1))
            _ = x.scaledDotProductAttention(
                to: x,
                x,
                mask: AttentionMask(isCausal: true, tokens: .init(positions: [0, 1])),
                scale: 1
            )
        }
        #expect(Self.text(result).contains("scaledDotProductAttention: queries, keys, values and mask do not fit"))
    }
}
