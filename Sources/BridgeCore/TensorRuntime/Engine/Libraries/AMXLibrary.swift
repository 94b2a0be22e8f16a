import CTensorKernels

/// bfloat16 products in Intel's AMX tiles, by the project's own kernel.
///
/// On plain row-major weights it is about twice as fast as oneDNN 2.6, which Debian 12 has.
public struct AMXLibrary: SummingLibrary {
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
    /// The most left vectors for which right tiles are made and used at once.
    private static let thin = 64

    /// Multiplies.
    public func multiply(_ product: MatrixProduct, on pool: ThreadPool) { multiply([product], on: pool) }

    /// Several products with the same b, which is copied into tiles once.
    public func multiply(_ products: [MatrixProduct], on pool: ThreadPool) {
        guard let first = products.first else { return }
        let leftIsColumns = Self.leftIsColumns(first, rows: products.reduce(0) { $0 + $1.m })
        let leftCount = leftIsColumns ? first.n : products.map(\.m).max() ?? 0
        if leftCount <= Self.thin {
            for product in products { multiplyThin(product, leftIsColumns: leftIsColumns, on: pool) }
            return
        }
        if !leftIsColumns {
            for (columns, offset) in parts(of: .columns(of: first)) {
                withRightTiles([columns], k: first.k, on: pool) { tiles in
                    for product in products {
                        var target = product.c
                        target.pointer += offset * product.outputType.byteCount
                        run(product, into: target, [.rows(of: product)], nil, tiles, columns.count, on: pool)
                    }
                }
            }
            return
        }
        let columns = ctk_amx_vectors.columns(of: first)
        // Each block of right vectors needs all the left ones, and a transposition takes longer than a copy.
        let blocks = products.reduce(0) { sum, product in
            let height = ctk_amx_height(product.m, product.k)
            return sum + (product.m + height - 1) / height
        }
        withLeftTiles(columns, isUseful: blocks > 1, on: pool) { leftTiles in
            for product in products {
                for (rows, offset) in parts(of: .rows(of: product)) {
                    withRightTiles([rows], k: product.k, on: pool) { tiles in
                        var target = product.c
                        target.pointer += offset * target.rowStride * product.outputType.byteCount
                        run(
                            product,
                            into: target,
                            [columns],
                            leftTiles,
                            tiles,
                            rows.count,
                            leftIsColumns: true,
                            on: pool
                        )
                    }
                }
            }
        }
    }

    /// A product with few left vectors: each thread makes right tiles of a part of the others, uses them and makes the next.
    private func multiplyThin(_ product: MatrixProduct, leftIsColumns: Bool, on pool: ThreadPool) {
        let (rows, columns) = (ctk_amx_vectors.rows(of: product), ctk_amx_vectors.columns(of: product))
        let (left, right) = leftIsColumns ? (columns, rows) : (rows, columns)
        // They stay in the second-level cache beside the left tiles.
        let most = max(32, min(Self.width, (512 << 10) / ctk_amx_packed(32, product.k) * 32))
        let parts = parts(of: right, together: most)
        withLeftTiles(left, isUseful: parts.count > 1, on: pool) { leftTiles in
            pool.run(parts.count) { index in
                let (part, offset) = parts[index]
                let byteCount = ctk_amx_packed(part.count, product.k)
                let tiles = scratch.take(byteCount)
                withUnsafePointer(to: part) {
                    let all = ctk_amx_part(first: 0, end: part.count, depth: 0, depth_end: product.k)
                    ctk_amx_pack_right(tiles, $0, product.k, 0, all)
                }
                var target = product.c
                target.pointer += offset * (leftIsColumns ? target.rowStride : 1) * product.outputType.byteCount
                let right = UnsafeRawPointer(tiles)
                // A call from here runs on this thread alone.
                run(product, into: target, [left], leftTiles, right, part.count, leftIsColumns: leftIsColumns, on: pool)
                scratch.giveBack(tiles, byteCount)
            }
        }
    }

    /// The sum of products, whose rows become left tiles and whose columns become right ones.
    public func multiplySum(_ products: [MatrixProduct], on pool: ThreadPool) {
        guard var whole = products.first else { return }
        whole.k = products.reduce(0) { $0 + Self.padded($1.k) }
        let (rows, columns) = (products.map(ctk_amx_vectors.rows), products.map(ctk_amx_vectors.columns))
        let together = together(whole.n, whole.k)
        for first in stride(from: 0, to: whole.n, by: together) {
            let pairs = columns.map { Self.part(of: $0, from: first, together) }
            withRightTiles(pairs, k: whole.k, on: pool) { tiles in
                var target = whole.c
                target.pointer += first * whole.outputType.byteCount
                run(whole, into: target, rows, nil, tiles, pairs[0].count, on: pool)
            }
        }
    }

    /// The elements of vectors with zeros behind them, so that those of another pair can follow.
    private static func padded(_ k: Int) -> Int { (k + 31) / 32 * 32 }

    /// How many of `count` vectors have about the limit of bytes as right tiles.
    private func together(_ count: Int, _ k: Int) -> Int {
        let height = ctk_amx_height(count, k)
        return max(1, rightBytes / ctk_amx_packed(height, k)) * height
    }

    /// Vectors in parts, with the number of those before each; nil for parts of about the limit of bytes as right tiles.
    private func parts(of vectors: ctk_amx_vectors, together: Int? = nil) -> [(ctk_amx_vectors, Int)] {
        let together = together ?? self.together(vectors.count, vectors.length)
        return stride(from: 0, to: vectors.count, by: together).map {
            (Self.part(of: vectors, from: $0, together), $0)
        }
    }

    /// At most `count` of the vectors, from `first` on.
    private static func part(of vectors: ctk_amx_vectors, from first: Int, _ count: Int) -> ctk_amx_vectors {
        var part = vectors
        let offset = first * vectors.vector_stride * MemoryLayout<UInt16>.size
        part.data = part.data.map { $0 + offset }
        part.count = min(count, vectors.count - first)
        return part
    }

    /// Divides the copying of vectors: contiguous ones in groups of 32, others by their elements, of which 32 at a time are
    /// read in the order of the memory.
    private func split(_ vectors: ctk_amx_vectors, on pool: ThreadPool, _ body: (ctk_amx_part) -> Void) {
        let isContiguous = vectors.element_stride == 1
        let (count, other) = isContiguous ? (vectors.count, vectors.length) : (vectors.length, vectors.count)
        pool.split((count + 31) / 32, grain: max(1, (1 << 16) / max(other * 32, 1))) { range in
            let (first, end) = (range.lowerBound * 32, min(range.upperBound * 32, count))
            body(
                isContiguous
                    ? ctk_amx_part(first: first, end: end, depth: 0, depth_end: other)
                    : ctk_amx_part(first: 0, end: other, depth: first, depth_end: end)
            )
        }
    }

    /// The right tiles of the vectors of each pair.
    private func withRightTiles(
        _ pairs: [ctk_amx_vectors],
        k: Int,
        on pool: ThreadPool,
        _ body: (UnsafeRawPointer) -> Void
    ) {
        let byteCount = ctk_amx_packed(pairs[0].count, k)
        let tiles = scratch.take(byteCount)
        var start = 0
        for vectors in pairs {
            withUnsafePointer(to: vectors) { vectors in
                split(vectors.pointee, on: pool) { ctk_amx_pack_right(tiles, vectors, k, start, $0) }
            }
            start += Self.padded(vectors.length)
        }
        body(UnsafeRawPointer(tiles))
        scratch.giveBack(tiles, byteCount)
    }

    /// The left tiles of vectors that lie across, if they are used more than once; nil for others.
    private func withLeftTiles(
        _ vectors: ctk_amx_vectors,
        isUseful: Bool,
        on pool: ThreadPool,
        _ body: (UnsafeRawPointer?) -> Void
    ) {
        let byteCount = ctk_amx_packed(vectors.count, vectors.length)
        guard isUseful, vectors.element_stride != 1, byteCount <= mostLeftBytes else { return body(nil) }
        let tiles = scratch.take(byteCount)
        withUnsafePointer(to: vectors) { vectors in
            split(vectors.pointee, on: pool) { ctk_amx_pack_left(tiles, vectors, $0) }
        }
        body(UnsafeRawPointer(tiles))
        scratch.giveBack(tiles, byteCount)
    }

    /// Multiplies the left vectors of each pair with right ones.
    private func run(
        _ product: MatrixProduct,
        into target: MatrixProduct.Operand,
        _ left: [ctk_amx_vectors],
        _ leftTiles: UnsafeRawPointer?,
        _ rightTiles: UnsafeRawPointer,
        _ rightCount: Int,
        leftIsColumns: Bool = false,
        on pool: ThreadPool
    ) {
        let (k, leftCount) = (product.k, left[0].count)
        let height = ctk_amx_height(rightCount, k)
        let blocks = (rightCount + height - 1) / height
        // Narrower pieces where there would be too few for all threads to end at about the same time.
        let even = (leftCount * blocks / (4 * pool.threadCount) + 31) / 32 * 32
        let width = min(Self.width, max(64, even))
        let parts = (leftCount + width - 1) / width
        let byteCount = ctk_amx_scratch(min(rightCount, height), width, k)
        left.withUnsafeBufferPointer { left in
            var work = ctk_amx_product(
                c: target.pointer,
                c_stride: target.rowStride,
                is_float32: product.outputType == .float32,
                adds: product.adds,
                left_is_columns: leftIsColumns,
                right_tiles: rightTiles,
                right_count: rightCount,
                left_tiles: leftTiles,
                left: left.baseAddress,
                k: k
            )
            withUnsafePointer(to: &work) { work in
                // Pieces of one block follow one another, so that it stays in the cache of a thread.
                pool.run(blocks * parts) { piece in
                    let from = piece % parts * width
                    let memory = scratch.take(byteCount)
                    ctk_amx_multiply(work, piece / parts * height, from, min(width, leftCount - from), memory)
                    scratch.giveBack(memory, byteCount)
                }
            }
        }
    }

    /// Whether the columns of b become left tiles, and the rows of a right ones, and not the other way round.
    ///
    /// - Parameters:
    ///   - product: One of the products.
    ///   - rows: The rows of all of them.
    /// - Returns: True for columns of b as left tiles.
    private static func leftIsColumns(_ product: MatrixProduct, rows: Int) -> Bool {
        var (a, b) = (ctk_amx_vectors.rows(of: product), ctk_amx_vectors.columns(of: product))
        a.count = rows
        let turned = cost(left: b, right: a) * Double(product.k) + Double(rows) * Double(product.n)
        return turned < cost(left: a, right: b) * Double(product.k)
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

extension ctk_amx_vectors {
    /// The rows of a.
    fileprivate static func rows(of product: MatrixProduct) -> Self {
        Self(
            data: UnsafeRawPointer(product.a.pointer),
            count: product.m,
            length: product.k,
            vector_stride: product.a.rowStride,
            element_stride: product.a.columnStride
        )
    }

    /// The columns of b.
    fileprivate static func columns(of product: MatrixProduct) -> Self {
        Self(
            data: UnsafeRawPointer(product.b.pointer),
            count: product.n,
            length: product.k,
            vector_stride: product.b.columnStride,
            element_stride: product.b.rowStride
        )
    }
}
