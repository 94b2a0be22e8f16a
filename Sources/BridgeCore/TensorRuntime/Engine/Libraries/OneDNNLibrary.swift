import COneDNN

/// Products of one type by oneDNN, which uses AMX, AVX-512 BF16 or AVX-512 where the processor has them.
public struct OneDNNLibrary: MatrixLibrary {
    /// The type of what is multiplied.
    public let inputs: ElementType

    /// The library for one type, float32 or bfloat16; nil on a processor without AVX-512, for which others are faster.
    public init?(_ inputs: ElementType) {
        guard cdnn_supports_avx512(), inputs == .float32 || inputs == .bfloat16 else { return nil }
        self.inputs = inputs
    }

    /// Its name, version and type.
    public var name: String { "oneDNN \(String(cString: cdnn_version())) (\(inputs))" }

    /// float32 alone, or bfloat16 in and bfloat16 or float32 out.
    public func supports(inputs: ElementType, output: ElementType) -> Bool {
        inputs == self.inputs && (output == inputs || output == .float32)
    }

    /// Multiplies.
    public func multiply(_ product: MatrixProduct, on pool: ThreadPool) {
        product.forEachPiece(on: pool, multiply)
    }

    private func multiply(_ product: MatrixProduct) {
        func matrix(_ operand: MatrixProduct.Operand) -> cdnn_matrix {
            cdnn_matrix(
                data: operand.pointer,
                row_stride: Int64(operand.rowStride),
                column_stride: Int64(operand.columnStride)
            )
        }
        let (m, n, k) = (Int64(product.m), Int64(product.n), Int64(product.k))
        let (a, b, c) = (matrix(product.a), matrix(product.b), matrix(product.c))
        let status =
            inputs == .float32
            ? cdnn_matmul_f32(m, n, k, a, b, c, product.adds)
            : cdnn_matmul_bf16(m, n, k, a, b, c, product.outputType == .float32, product.adds)
        if status != 0 { Tensor.fail("multiply", "oneDNN reports status \(status)") }
    }
}
