import CTensorKernels

/// bfloat16 products in Intel's AMX tiles, by the project's own kernel.
///
/// On plain row-major weights it is about twice as fast as oneDNN 2.6, which Debian 12 has.
public struct AMXLibrary: MatrixLibrary {
    private let scratch = MemoryPool(limit: 64 << 20)

    /// The kernel; nil on a processor without AMX.
    public init?() {
        guard ctk_best_isa() == CTK_AMX else { return nil }
    }

    /// Its name.
    public var name: String { "AMX" }

    /// bfloat16 in, bfloat16 or float32 out.
    public func supports(inputs: ElementType, output: ElementType) -> Bool {
        inputs == .bfloat16 && (output == .bfloat16 || output == .float32)
    }

    /// Columns of a piece of work: few enough that its sums stay in the second-level cache.
    private static let width = 256

    /// Multiplies.
    public func multiply(_ product: MatrixProduct, on pool: ThreadPool) {
        let height = CTK_AMX_HEIGHT
        let (m, n, k) = (product.m, product.n, product.k)
        let packedCount = ctk_amx_packed(m, k)
        let packed = scratch.take(packedCount)
        pool.split((m + 31) / 32, grain: max(1, (1 << 16) / max(k * 32, 1))) { range in
            for pair in range {
                ctk_amx_pack(
                    packed,
                    product.a.pointer,
                    product.a.rowStride,
                    product.a.columnStride,
                    m,
                    k,
                    pair * 32
                )
            }
        }
        let rows = (m + height - 1) / height
        let columns = (n + Self.width - 1) / Self.width
        let byteCount = ctk_amx_scratch(min(m, height), Self.width)
        pool.run(rows * columns) { piece in
            let (row, column) = (piece % rows * height, piece / rows * Self.width)
            let memory = scratch.take(byteCount)
            ctk_amx_multiply(
                product.c.pointer + column * product.outputType.byteCount,
                product.c.rowStride,
                product.outputType == .float32,
                product.adds,
                packed,
                product.b.pointer + column * product.b.columnStride * 2,
                product.b.rowStride,
                product.b.columnStride,
                m,
                min(Self.width, n - column),
                k,
                row,
                memory
            )
            scratch.giveBack(memory, byteCount)
        }
        scratch.giveBack(packed, packedCount)
    }
}
