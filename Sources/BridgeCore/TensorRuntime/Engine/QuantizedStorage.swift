import Synchronization

/// The memory of a quantized matrix, which counts as that of floating-point numbers.
///
/// What does not know quantized matrices gets the numbers as floating-point ones, from a copy that is made once.
final class QuantizedStorage: TensorStorage, @unchecked Sendable {
    let matrix: QuantizedMatrix
    private let elementType: ElementType
    private let maker: CPUEngine
    private let dense = Mutex<Tensor?>(nil)

    /// The memory of a matrix, for tensors of `engine`, whose work `maker` does.
    init(_ matrix: QuantizedMatrix, as type: ElementType, engine: any TensorEngine, maker: CPUEngine) {
        self.matrix = matrix
        self.maker = maker
        elementType = type
        super.init(
            byteCount: matrix.rows * matrix.columns * type.byteCount,
            engine: engine,
            isReadOnly: true
        )
    }

    /// Where the numbers are as floating-point ones.
    var denseAddress: UnsafeMutableRawPointer {
        dense.withLock { dense in
            if let dense { return dense.pointer }
            let copy = Tensor(uninitialized: [matrix.rows, matrix.columns], elementType, on: maker)
            maker.dequantize(QuantizedView(matrix, rows: 0..<matrix.rows), into: copy)
            dense = copy
            return copy.pointer
        }
    }
}

/// Whole rows of a quantized matrix.
struct QuantizedView {
    let matrix: QuantizedMatrix
    let rows: Range<Int>

    init(_ matrix: QuantizedMatrix, rows: Range<Int>) { (self.matrix, self.rows) = (matrix, rows) }

    /// The rows that a tensor [n, k] is; nil for one that is not quantized, or that is another part of a matrix.
    init?(_ tensor: Tensor) {
        guard let matrix = tensor.quantized, tensor.rank == 2, tensor.shape[1] == matrix.columns,
            tensor.strides == [matrix.columns, 1], matrix.columns > 0, tensor.offset % matrix.columns == 0
        else { return nil }
        let first = tensor.offset / matrix.columns
        self.init(matrix, rows: first..<first + tensor.shape[0])
    }
}
