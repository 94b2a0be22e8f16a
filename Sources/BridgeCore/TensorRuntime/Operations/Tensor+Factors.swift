import COpenBLAS

extension Tensor {
    /// An orthonormal basis of a part of a matrix's column or row space.
    public struct Basis: Sendable {
        /// The vectors as columns, float32: [rows, count] of the column space, [columns, count] of the row space.
        public let vectors: Tensor
        /// Whether they span a part of the row space, which is done where the matrix has more rows than columns.
        public let isOfRows: Bool
        /// The ratio of the singular value after the last one to the last one: 0 if there is none.
        public let decay: Double
    }

    /// The number of columns that are converted to double precision at a time.
    private static let panelWidth = 512

    /// The singular vectors of the largest singular values of a matrix.
    ///
    /// They are eigenvectors of the smaller of `W W^T` and `W^T W`, in double precision, whose squared condition costs
    /// nothing that float32 can show.
    ///
    /// - Parameter count: How many; at most as many as the matrix has rows and columns.
    /// - Returns: The vectors; nil when LAPACK does not find them, as with values that are not finite.
    public func leadingSingularVectors(_ count: Int) -> Basis? {
        guard rank == 2, count > 0, count <= min(shape[0], shape[1]), elementType.isFloatingPoint else { return nil }
        let isOfRows = shape[0] > shape[1]
        let matrix = (isOfRows ? detached.transposed() : detached).cast(to: .float32)
        let (height, width) = (matrix.shape[0], matrix.shape[1])
        var gram = [Double](repeating: 0, count: height * height)
        for first in stride(from: 0, to: width, by: Self.panelWidth) {
            let panel = matrix.narrowed(1, to: first..<min(first + Self.panelWidth, width)).contiguous()
            let numbers = panel.floats().map(Double.init)
            let columns = Int32(panel.shape[1])
            cblas_dsyrk(
                CblasRowMajor,
                CblasLower,
                CblasNoTrans,
                Int32(height),
                columns,
                1,
                numbers,
                columns,
                1,
                &gram,
                Int32(height)
            )
        }
        let wanted = min(count + 1, height)
        guard let (values, vectors) = Self.largestEigenvectors(of: &gram, size: height, count: wanted) else {
            return nil
        }
        // LAPACK has the smallest first.
        var numbers = [Float](repeating: 0, count: height * count)
        for column in 0..<count {
            let source = (wanted - 1 - column) * height
            for row in 0..<height { numbers[row * count + column] = Float(vectors[source + row]) }
        }
        let last = values[wanted - count].squareRoot()
        let next = wanted > count ? max(values[0], 0).squareRoot() : 0
        return Basis(
            vectors: Tensor(numbers, shape: [height, count], on: engine),
            isOfRows: isOfRows,
            decay: last > 0 ? next / last : 0
        )
    }

    /// The eigenvectors of the largest eigenvalues of a symmetric matrix, ascending; `matrix`, of which one triangle is
    /// enough, is overwritten.
    private static func largestEigenvectors(of matrix: inout [Double], size: Int, count: Int)
        -> (values: [Double], vectors: [Double])?
    {
        let n = blasint(size)
        let (first, zero) = (blasint(size - count + 1), 0.0)
        var (found, status) = (blasint(0), blasint(0))
        var values = [Double](repeating: 0, count: size)
        var vectors = [Double](repeating: 0, count: size * count)
        var support = [blasint](repeating: 0, count: 2 * size)
        func run(_ work: inout [Double], _ lengths: inout [blasint], asksForSize: Bool) {
            let (length, integers) = (
                asksForSize ? blasint(-1) : blasint(work.count), asksForSize ? blasint(-1) : blasint(lengths.count)
            )
            // Row-major lower is column-major upper.
            withUnsafePointer(to: n) { n in
                withUnsafePointer(to: first) { first in
                    withUnsafePointer(to: zero) { zero in
                        dsyevr_(
                            "V",
                            "I",
                            "U",
                            n,
                            &matrix,
                            n,
                            zero,
                            zero,
                            first,
                            n,
                            zero,
                            &found,
                            &values,
                            &vectors,
                            n,
                            &support,
                            &work,
                            [length],
                            &lengths,
                            [integers],
                            &status,
                            1,
                            1,
                            1
                        )
                    }
                }
            }
        }
        var (work, integers) = ([0.0], [blasint(0)])
        run(&work, &integers, asksForSize: true)
        guard status == 0 else { return nil }
        work = [Double](repeating: 0, count: max(Int(work[0]), 26 * size))
        integers = [blasint](repeating: 0, count: max(Int(integers[0]), 10 * size))
        run(&work, &integers, asksForSize: false)
        guard status == 0, found == blasint(count), values[..<count].allSatisfy(\.isFinite) else { return nil }
        return (Array(values[..<count]), vectors)
    }

    /// An orthonormal basis of the first columns of a matrix: Q of its QR decomposition, up to signs.
    ///
    /// - Parameter count: How many; at most as many as the matrix has rows and columns.
    /// - Returns: The vectors; those of columns that depend on earlier ones are zero.
    public func leadingColumnBasis(_ count: Int) -> Basis? {
        guard rank == 2, count > 0, count <= min(shape[0], shape[1]), elementType.isFloatingPoint else { return nil }
        let height = shape[0]
        let numbers = detached.narrowed(1, to: 0..<count).transposed().contiguous().floats().map(Double.init)
        var basis: [[Double]] = []
        for column in 0..<count {
            var vector = Array(numbers[column * height..<(column + 1) * height])
            let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            // Twice is enough (Giraud et al., 2005).
            for _ in 0..<2 {
                for other in basis {
                    let product = zip(vector, other).reduce(0) { $0 + $1.0 * $1.1 }
                    for row in 0..<height { vector[row] -= product * other[row] }
                }
            }
            let rest = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let scale = rest > 1e-14 * length && rest > 0 ? 1 / rest : 0
            basis.append(vector.map { $0 * scale })
        }
        let columns = (0..<height).flatMap { row in basis.map { Float($0[row]) } }
        return Basis(vectors: Tensor(columns, shape: [height, count], on: engine), isOfRows: false, decay: 0)
    }
}
