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

    /// The most vectors of a piece of work.
    private static let width = 256

    /// Multiplies.
    public func multiply(_ product: MatrixProduct, on pool: ThreadPool) {
        let sides = Sides(product)
        let (packed, streamed, k) = (sides.packed, sides.streamed, product.k)
        let packedCount = ctk_amx_packed(packed.count, k)
        let tiles = scratch.take(packedCount)
        pool.split((packed.count + 31) / 32, grain: max(1, (1 << 16) / max(k * 32, 1))) { range in
            for group in range {
                ctk_amx_pack(
                    tiles,
                    packed.pointer,
                    packed.vectorStride,
                    packed.elementStride,
                    packed.count,
                    k,
                    group * 32
                )
            }
        }
        let height = ctk_amx_height(k)
        var work = ctk_amx_product(
            c: product.c.pointer,
            c_stride: product.c.rowStride,
            is_float32: product.outputType == .float32,
            adds: product.adds,
            packs_columns: sides.packsColumns,
            packed: UnsafeRawPointer(tiles),
            packed_count: packed.count,
            streamed: UnsafeRawPointer(streamed.pointer),
            vector_stride: streamed.vectorStride,
            element_stride: streamed.elementStride,
            k: k
        )
        let blocks = (packed.count + height - 1) / height
        // Narrower pieces where there would be too few for all threads to end at about the same time.
        let even = (streamed.count * blocks / (4 * pool.threadCount) + 31) / 32 * 32
        let width = min(Self.width, max(64, even))
        let parts = (streamed.count + width - 1) / width
        let byteCount = ctk_amx_scratch(min(packed.count, height), width, k)
        withUnsafePointer(to: &work) { work in
            // Pieces of one block follow one another, so that it stays in the cache of a thread.
            pool.run(blocks * parts) { piece in
                let from = piece % parts * width
                let memory = scratch.take(byteCount)
                ctk_amx_multiply(work, piece / parts * height, from, min(width, streamed.count - from), memory)
                scratch.giveBack(memory, byteCount)
            }
        }
        scratch.giveBack(tiles, packedCount)
    }

    /// The rows of a and the columns of b, of which one side is copied into tiles before.
    private struct Sides {
        struct Vectors {
            let pointer: UnsafeMutableRawPointer
            let count, vectorStride, elementStride: Int
            var isContiguous: Bool { elementStride == 1 }
        }

        let packed, streamed: Vectors
        let packsColumns: Bool

        init(_ product: MatrixProduct) {
            let (a, b) = (product.a, product.b)
            let rows = Vectors(
                pointer: a.pointer,
                count: product.m,
                vectorStride: a.rowStride,
                elementStride: a.columnStride
            )
            let columns = Vectors(
                pointer: b.pointer,
                count: product.n,
                vectorStride: b.columnStride,
                elementStride: b.rowStride
            )
            let sums = Double(product.m) * Double(product.n)
            packsColumns =
                Self.cost(packing: columns, streaming: rows, product.k) < Self.cost(
                    packing: rows,
                    streaming: columns,
                    product.k
                ) + sums
            (packed, streamed) = packsColumns ? (columns, rows) : (rows, columns)
        }

        /// The time of copies in units of an element whose place in a tile needs a transposition.
        ///
        /// As measured with 64 to 2048 rows and 768 to 32,000 columns. Sums of packed rows are transposed on top.
        private static func cost(packing packed: Vectors, streaming streamed: Vectors, _ k: Int) -> Double {
            let blocks = (packed.count + ctk_amx_height(k) - 1) / ctk_amx_height(k)
            let once = Double(packed.count) * Double(k) * (packed.isContiguous ? 1 : 0.5)
            return once + Double(streamed.count * blocks) * Double(k) * (streamed.isContiguous ? 0.2 : 1)
        }
    }
}
