import CTensorKernels

/// bfloat16 products in Intel's AMX tiles, by the project's own kernel.
///
/// On plain row-major weights it is about twice as fast as oneDNN 2.6, which Debian 12 has.
public struct AMXLibrary: MatrixLibrary {
    private let scratch = MemoryPool(limit: 64 << 20)
    private let rightBytes, mostLeftBytes: Int

    /// The kernel; nil on a processor without AMX.
    public init?() { self.init(rightBytes: 16 << 20) }

    /// The kernel with limits of its memory; nil on a processor without AMX.
    ///
    /// - Parameters:
    ///   - rightBytes: About as many bytes of right tiles are made at a time: fresh memory for all of a large matrix
    ///     takes longer.
    ///   - leftBytes: Left tiles of more bytes are made on the way, for one piece of work after the other.
    init?(rightBytes: Int = 16 << 20, leftBytes: Int = 32 << 20) {
        guard ctk_best_isa() == CTK_AMX else { return nil }
        (self.rightBytes, mostLeftBytes) = (rightBytes, leftBytes)
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
        let (sides, k) = (Sides(product), product.k)
        var left = sides.left
        let height = ctk_amx_height(k)
        // Each block of right vectors needs all the left ones, and a transposition takes longer than a copy.
        let leftBytes = ctk_amx_packed(left.count, k)
        let isKept = sides.right.count > height && left.element_stride != 1 && leftBytes <= mostLeftBytes
        let leftTiles = isKept ? scratch.take(leftBytes) : nil
        if let leftTiles {
            split((left.count + 31) / 32, k, on: pool) { ctk_amx_pack_left(leftTiles, &left, k, $0 * 32) }
        }
        let together = max(1, rightBytes / ctk_amx_packed(height, k)) * height
        for first in stride(from: 0, to: sides.right.count, by: together) {
            var right = sides.right
            let offset = first * right.vector_stride * MemoryLayout<UInt16>.size
            right.data = right.data.map { $0 + offset }
            right.count = min(together, right.count - first)
            let start = first * (sides.leftIsColumns ? product.c.rowStride : 1) * product.outputType.byteCount
            multiply(product, product.c.pointer + start, sides, leftTiles, right, on: pool)
        }
        if let leftTiles { scratch.giveBack(leftTiles, leftBytes) }
    }

    /// Divides groups of 32 vectors of k elements.
    private func split(_ groups: Int, _ k: Int, on pool: ThreadPool, _ body: (Int) -> Void) {
        pool.split(groups, grain: max(1, (1 << 16) / max(k * 32, 1))) { $0.forEach(body) }
    }

    /// Multiplies some of the right vectors, whose results begin at `c`.
    private func multiply(
        _ product: MatrixProduct,
        _ c: UnsafeMutableRawPointer,
        _ sides: Sides,
        _ leftTiles: UnsafeMutableRawPointer?,
        _ right: ctk_amx_vectors,
        on pool: ThreadPool
    ) {
        var right = right
        let (k, leftCount) = (product.k, sides.left.count)
        let rightBytes = ctk_amx_packed(right.count, k)
        let rightTiles = scratch.take(rightBytes)
        split((right.count + 31) / 32, k, on: pool) { ctk_amx_pack_right(rightTiles, &right, k, $0 * 32) }
        var work = ctk_amx_product(
            c: c,
            c_stride: product.c.rowStride,
            is_float32: product.outputType == .float32,
            adds: product.adds,
            left_is_columns: sides.leftIsColumns,
            right_tiles: UnsafeRawPointer(rightTiles),
            right_count: right.count,
            left_tiles: UnsafeRawPointer(leftTiles),
            left: sides.left,
            k: k
        )
        let height = ctk_amx_height(k)
        let blocks = (right.count + height - 1) / height
        // Narrower pieces where there would be too few for all threads to end at about the same time.
        let even = (leftCount * blocks / (4 * pool.threadCount) + 31) / 32 * 32
        let width = min(Self.width, max(64, even))
        let parts = (leftCount + width - 1) / width
        let byteCount = ctk_amx_scratch(min(right.count, height), width, k)
        withUnsafePointer(to: &work) { work in
            // Pieces of one block follow one another, so that it stays in the cache of a thread.
            pool.run(blocks * parts) { piece in
                let from = piece % parts * width
                let memory = scratch.take(byteCount)
                ctk_amx_multiply(work, piece / parts * height, from, min(width, leftCount - from), memory)
                scratch.giveBack(memory, byteCount)
            }
        }
        scratch.giveBack(rightTiles, rightBytes)
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
