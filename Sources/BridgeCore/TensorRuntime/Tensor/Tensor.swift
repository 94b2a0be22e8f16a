/// A multi-dimensional array: a shape and strides over memory.
///
/// A tensor is a value; its memory is shared by its views. Operations give new tensors and, where a parameter that is
/// trained went in, remember how to differentiate themselves.
public struct Tensor: Sendable {
    /// The memory.
    public let storage: TensorStorage
    /// The type of the elements.
    public let elementType: ElementType
    /// The sizes of the dimensions; empty for a scalar.
    public let shape: [Int]
    /// Distance between neighbours along each dimension, in elements, not bytes; 0 for an expanded dimension.
    public let strides: [Int]
    /// The offset of the first element in the memory, in elements.
    public let offset: Int
    /// The node that created this tensor, if gradients flow through it.
    let node: GradientNode?

    /// A view of memory.
    ///
    /// - Parameters:
    ///   - storage: The memory, which holds every element that shape and strides reach.
    ///   - elementType: The type of the elements.
    ///   - shape: The sizes.
    ///   - strides: Distances in elements; nil for row-major order without gaps.
    ///   - offset: The offset of the first element.
    public init(
        storage: TensorStorage,
        elementType: ElementType,
        shape: [Int],
        strides: [Int]? = nil,
        offset: Int = 0
    ) {
        self.init(storage, elementType, shape, strides ?? Self.rowMajorStrides(shape), offset, node: nil)
    }

    init(
        _ storage: TensorStorage,
        _ elementType: ElementType,
        _ shape: [Int],
        _ strides: [Int],
        _ offset: Int,
        node: GradientNode?
    ) {
        self.storage = storage
        self.elementType = elementType
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.node = node
    }

    /// New memory of a shape; what is in it is unknown.
    public init(uninitialized shape: [Int], _ elementType: ElementType, on engine: any TensorEngine) {
        let count = shape.reduce(1, *)
        self.init(
            storage: engine.makeStorage(byteCount: max(count, 1) * elementType.byteCount, for: engine),
            elementType: elementType,
            shape: shape
        )
    }

    /// A tensor of zeros.
    public static func zeros(_ shape: [Int], _ elementType: ElementType, on engine: any TensorEngine) -> Tensor {
        let tensor = Tensor(uninitialized: shape, elementType, on: engine)
        engine.fill(tensor, with: 0)
        return tensor
    }

    /// Strides of row-major order without gaps.
    public static func rowMajorStrides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for dimension in shape.indices.dropLast().reversed() {
            strides[dimension] = strides[dimension + 1] * shape[dimension + 1]
        }
        return strides
    }

    /// The engine that computes with this tensor.
    public var engine: any TensorEngine { storage.engine }
    /// The number of dimensions.
    public var rank: Int { shape.count }
    /// The number of elements.
    public var count: Int { shape.reduce(1, *) }
    /// Whether gradients flow through this tensor.
    public var isTracked: Bool { node != nil }
    /// The size of the elements in bytes.
    public var byteCount: Int { count * elementType.byteCount }

    /// The size of a dimension; negative ones count from the end.
    public func size(ofDimension dimension: Int) -> Int { shape[dimension < 0 ? rank + dimension : dimension] }

    /// Whether the elements are contiguous in row-major order.
    public var isContiguous: Bool {
        var expected = 1
        for dimension in shape.indices.reversed() where shape[dimension] != 1 {
            guard strides[dimension] == expected else { return count == 0 }
            expected *= shape[dimension]
        }
        return true
    }

    /// The same values without a backward pass: gradients stop here.
    public var detached: Tensor { node == nil ? self : Tensor(storage, elementType, shape, strides, offset, node: nil) }

    /// A tensor of the same engine with new memory.
    func makeTensor(_ shape: [Int], _ elementType: ElementType? = nil) -> Tensor {
        Tensor(uninitialized: shape, elementType ?? self.elementType, on: engine)
    }
}
