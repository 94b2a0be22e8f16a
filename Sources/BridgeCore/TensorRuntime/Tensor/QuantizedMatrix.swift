/// The whole numbers and factors of a quantized matrix [n, k].
///
/// Numbers are stored larger by half their range, from 0 on, in the order of the columns; those of 4 bits fill bytes from the
/// low half on. So are those of `pack-quantized` of compressed-tensors (0.12), whose int32 words hold 8 or 4 of them.
public struct QuantizedMatrix: Sendable {
    /// Bits and groups.
    public let format: QuantizedFormat
    /// n and k.
    public let rows: Int, columns: Int
    /// uint8 [n, bytes of a row].
    public let values: Tensor
    /// bfloat16 [n, groups of a row]: what numbers are multiplied by.
    public let scales: Tensor

    /// A matrix of numbers and factors that exist.
    ///
    /// - Parameters:
    ///   - values: uint8 [n, ``QuantizedFormat/rowByteCount(_:)``], without gaps.
    ///   - scales: bfloat16 [n, ``QuantizedFormat/groupCount(_:)``], without gaps.
    ///   - columns: k.
    ///   - format: Bits and groups, which divide k.
    public init(values: Tensor, scales: Tensor, columns: Int, format: QuantizedFormat) {
        let rows = values.shape[0]
        guard values.elementType == .uint8, scales.elementType == .bfloat16, values.isContiguous, scales.isContiguous,
            format.divides(columns), values.shape == [rows, format.rowByteCount(columns)],
            scales.shape == [rows, format.groupCount(columns)]
        else { Tensor.fail("QuantizedMatrix", "the shapes or types do not fit", values, scales) }
        (self.values, self.scales) = (values, scales)
        (self.rows, self.columns, self.format) = (rows, columns, format)
    }

    /// Quantizes a matrix: each group's factor from its largest magnitude, each number the nearest one, half to even.
    ///
    /// - Parameters:
    ///   - matrix: float32 or bfloat16 [n, k], rows of unit stride.
    ///   - format: Bits and groups, which divide k.
    public init(quantizing matrix: Tensor, _ format: QuantizedFormat) {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        guard format.divides(columns) else {
            Tensor.fail("QuantizedMatrix", "the rows have no whole number of groups", matrix)
        }
        let engine = matrix.engine
        let values = Tensor(uninitialized: [rows, format.rowByteCount(columns)], .uint8, on: engine)
        let scales = Tensor(uninitialized: [rows, format.groupCount(columns)], .bfloat16, on: engine)
        self.init(values: values, scales: scales, columns: columns, format: format)
        engine.quantize(matrix.detached, into: self)
    }

    /// The matrix as a tensor [n, k] that cannot be written to.
    ///
    /// Products and gathered rows read the numbers; anything else gets them as `type`, which takes memory until the tensor is
    /// released.
    public func tensor(as type: ElementType) -> Tensor {
        let engine = values.engine
        return Tensor(
            storage: engine.makeStorage(for: self, as: type, engine: engine),
            elementType: type,
            shape: [rows, columns]
        )
    }
}

extension Tensor {
    /// The quantized matrix that this is a view of; nil for any other tensor.
    public var quantized: QuantizedMatrix? { (storage as? QuantizedStorage)?.matrix }

    /// The same numbers as floating-point ones: a copy if they are quantized.
    public var dequantized: Tensor {
        guard quantized != nil else { return self }
        let copy = makeTensor(shape)
        engine.copy(detached, into: copy)
        return copy
    }
}
