import COpenBLAS

/// float32 products by OpenBLAS.
public struct OpenBLASLibrary: MatrixLibrary {
    /// The library, set to one thread because the engine has its own threads.
    public init() { openblas_set_num_threads(1) }

    /// Its name, its version and the kernels that it chose.
    public var name: String { "OpenBLAS \(version) \(core)" }

    /// The second word of a text such as "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH".
    private var version: String {
        let words = String(cString: openblas_get_config()).split(separator: " ")
        return words.count > 1 ? String(words[1]) : "of an unknown version"
    }

    /// Whether it chose kernels for AVX-512.
    var usesAVX512: Bool { ["SkylakeX", "Cooperlake", "SapphireRapids"].contains(core) }

    private var core: String { String(cString: openblas_get_corename()) }

    /// float32 alone.
    public func supports(inputs: ElementType, output: ElementType) -> Bool { inputs == .float32 && output == .float32 }

    /// Multiplies.
    public func multiply(_ product: MatrixProduct, on pool: ThreadPool) {
        product.forEachPiece(on: pool, multiply)
    }

    private func multiply(_ product: MatrixProduct) {
        func leading(_ operand: MatrixProduct.Operand, rows: Int, columns: Int) -> (CBLAS_TRANSPOSE, Int32) {
            // A matrix of one row or one column may have any stride along it; BLAS requires one that covers the other
            // side.
            operand.columnStride == 1 && (operand.rowStride >= columns || rows == 1)
                ? (CblasNoTrans, Int32(max(operand.rowStride, columns)))
                : (CblasTrans, Int32(max(operand.columnStride, rows)))
        }
        let (transposeA, strideA) = leading(product.a, rows: product.m, columns: product.k)
        let (transposeB, strideB) = leading(product.b, rows: product.k, columns: product.n)
        cblas_sgemm(
            CblasRowMajor,
            transposeA,
            transposeB,
            Int32(product.m),
            Int32(product.n),
            Int32(product.k),
            1,
            product.a.pointer.assumingMemoryBound(to: Float.self),
            strideA,
            product.b.pointer.assumingMemoryBound(to: Float.self),
            strideB,
            product.adds ? 1 : 0,
            product.c.pointer.assumingMemoryBound(to: Float.self),
            Int32(max(product.c.rowStride, product.n))
        )
    }
}
