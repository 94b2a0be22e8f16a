/// A library that multiplies matrices.
public protocol MatrixLibrary: Sendable {
    /// Its name, for reports.
    var name: String { get }
    /// Whether it multiplies matrices of these types.
    func supports(inputs: ElementType, output: ElementType) -> Bool
    /// Multiplies, on the threads of a pool and on no others.
    func multiply(_ product: MatrixProduct, on pool: ThreadPool)
    /// Multiplies several matrices, of the same types, with the same b.
    func multiply(_ products: [MatrixProduct], on pool: ThreadPool)
}

extension MatrixLibrary {
    /// One after the other.
    public func multiply(_ products: [MatrixProduct], on pool: ThreadPool) {
        for product in products { multiply(product, on: pool) }
    }
}

/// A library that makes the sum of several products without writing those in between.
public protocol SummingLibrary: MatrixLibrary {
    /// Puts the sum of several products into their c, which is the same.
    func multiplySum(_ products: [MatrixProduct], on pool: ThreadPool)
}

/// `c[m, n] = a[m, k] b[k, n]`, or added to c.
///
/// Strides are in elements; each matrix has one of 1.
public struct MatrixProduct {
    /// A matrix in memory.
    public struct Operand {
        /// The first element.
        public var pointer: UnsafeMutableRawPointer
        /// The distance from one row to the next.
        public var rowStride: Int
        /// The distance from one column to the next.
        public var columnStride: Int
    }

    /// Rows of a and c.
    public var m: Int
    /// Columns of b and c.
    public var n: Int
    /// Columns of a, rows of b.
    public var k: Int
    /// The left matrix.
    public var a: Operand
    /// The right matrix.
    public var b: Operand
    /// The result, row-major.
    public var c: Operand
    /// The type of a and b.
    public var inputType: ElementType
    /// The type of c.
    public var outputType: ElementType
    /// Whether the product is added to what is in c.
    public var adds: Bool
}

extension MatrixProduct {
    /// Cuts the product into pieces for libraries that know one thread.
    ///
    /// Pieces are wide enough that reading the left matrix again for each costs little.
    func forEachPiece(on pool: ThreadPool, _ body: (MatrixProduct) -> Void) {
        let most = pool.threadCount * 2
        let width = max(128, ((n + most - 1) / most + 63) / 64 * 64)
        let columns = (n + width - 1) / width
        let height = columns < pool.threadCount ? max(64, (m + most - 1) / most) : m
        let rows = (m + height - 1) / height
        pool.run(rows * columns) { index in
            let (row, column) = (index / columns * height, index % columns * width)
            var piece = self
            piece.m = min(height, m - row)
            piece.n = min(width, n - column)
            piece.a.pointer += row * a.rowStride * inputType.byteCount
            piece.b.pointer += column * b.columnStride * inputType.byteCount
            piece.c.pointer += (row * c.rowStride + column) * outputType.byteCount
            body(piece)
        }
    }
}
