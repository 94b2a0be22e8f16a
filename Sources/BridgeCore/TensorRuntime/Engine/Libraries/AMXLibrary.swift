import CTensorKernels

/// bfloat16 products in Intel's AMX tiles, by the project's own kernel.
///
/// On plain row-major weights it is about twice as fast as oneDNN 2.6, which Debian 12 has.
public struct AMXLibrary: MatrixLibrary {
    private let scratch = MemoryPool(limit: 64 << 20)
    /// Left tiles of more bytes are made on the way, for one piece of work after the other.
    private static let mostLeftBytes = 32 << 20

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
        let k = product.k
        let sides = Sides(product)
        var (left, right) = (sides.left, sides.right)
        let height = ctk_amx_height(k)
        let blocks = (right.count + height - 1) / height
        let rightBytes = ctk_amx_packed(right.count, k)
        let rightTiles = scratch.take(rightBytes)
        // Each block of right vectors needs all the left ones.
        let leftBytes = ctk_amx_packed(left.count, k)
        let leftTiles = blocks > 1 && leftBytes <= Self.mostLeftBytes ? scratch.take(leftBytes) : nil
        let (leftGroups, rightGroups) = (leftTiles == nil ? 0 : (left.count + 31) / 32, (right.count + 31) / 32)
        pool.split(leftGroups + rightGroups, grain: max(1, (1 << 16) / max(k * 32, 1))) { range in
            for group in range {
                if group < rightGroups {
                    ctk_amx_pack_right(rightTiles, &right, k, group * 32)
                } else {
                    ctk_amx_pack_left(leftTiles, &left, k, (group - rightGroups) * 32)
                }
            }
        }
        var work = ctk_amx_product(
            c: product.c.pointer,
            c_stride: product.c.rowStride,
            is_float32: product.outputType == .float32,
            adds: product.adds,
            left_is_columns: sides.leftIsColumns,
            right_tiles: UnsafeRawPointer(rightTiles),
            right_count: right.count,
            left_tiles: UnsafeRawPointer(leftTiles),
            left: left,
            k: k
        )
        // Narrower pieces where there would be too few for all threads to end at about the same time.
        let even = (left.count * blocks / (4 * pool.threadCount) + 31) / 32 * 32
        let width = min(Self.width, max(64, even))
        let parts = (left.count + width - 1) / width
        let byteCount = ctk_amx_scratch(min(right.count, height), width, k)
        withUnsafePointer(to: &work) { work in
            // Pieces of one block follow one another, so that it stays in the cache of a thread.
            pool.run(blocks * parts) { piece in
                let from = piece % parts * width
                let memory = scratch.take(byteCount)
                ctk_amx_multiply(work, piece / parts * height, from, min(width, work.pointee.left.count - from), memory)
                scratch.giveBack(memory, byteCount)
            }
        }
        scratch.giveBack(rightTiles, rightBytes)
        if let leftTiles { scratch.giveBack(leftTiles, leftBytes) }
    }

    /// The rows of a and the columns of b, of which one side becomes right tiles and the other one left tiles.
    private struct Sides {
        let left, right: ctk_amx_vectors
        let leftIsColumns: Bool

        init(_ product: MatrixProduct) {
            let (a, b) = (product.a, product.b)
            let rows = ctk_amx_vectors(
                data: UnsafeRawPointer(a.pointer),
                count: product.m,
                vector_stride: a.rowStride,
                element_stride: a.columnStride
            )
            let columns = ctk_amx_vectors(
                data: UnsafeRawPointer(b.pointer),
                count: product.n,
                vector_stride: b.columnStride,
                element_stride: b.rowStride
            )
            let turned =
                Self.cost(left: columns, right: rows) * Double(product.k) + Double(product.m) * Double(product.n)
            leftIsColumns = turned < Self.cost(left: rows, right: columns) * Double(product.k)
            (left, right) = leftIsColumns ? (columns, rows) : (rows, columns)
        }

        /// The time of copies in units of an element whose place in a tile needs a transposition: left tiles have the
        /// order of contiguous vectors, right ones that of vectors which lie across.
        ///
        /// As measured with 64 to 2048 rows and 768 to 32,000 columns. Sums of which the rows are right vectors are
        /// transposed on top.
        private static func cost(left: ctk_amx_vectors, right: ctk_amx_vectors) -> Double {
            Double(left.count) * (left.element_stride == 1 ? 0.4 : 1.3)
                + Double(right.count) * (right.element_stride == 1 ? 1 : 0.5)
        }
    }
}
