import COneDNN

/// bfloat16 products by oneDNN, which uses AMX or AVX-512 BF16 where the processor has them.
public struct OneDNNLibrary: MatrixLibrary {
    /// The library; nil on a processor for which it has no bfloat16 kernels.
    public init?() {
        guard cdnn_supports_bf16() else { return nil }
    }

    /// Its name and version.
    public var name: String { "oneDNN \(String(cString: cdnn_version()))" }

    /// bfloat16 in, bfloat16 or float32 out.
    public func supports(inputs: ElementType, output: ElementType) -> Bool {
        inputs == .bfloat16 && (output == .bfloat16 || output == .float32)
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
        let status = cdnn_matmul_bf16(
            Int64(product.m),
            Int64(product.n),
            Int64(product.k),
            matrix(product.a),
            matrix(product.b),
            matrix(product.c),
            product.outputType == .float32,
            product.adds
        )
        if status != 0 { Tensor.fail("multiply", "oneDNN reports status \(status)") }
    }
}
