public import BridgeSupport
public import TensorRuntime

/// A tensor in a storage: its header, and the offset of its bytes.
public struct StoredTensor: Sendable {
    /// The name under which the storage holds it.
    public var name: String
    /// The type of the elements.
    public var elementType: ElementType
    /// The sizes, row-major; empty for a scalar.
    public var shape: [Int]
    /// The storage of the bytes.
    public var storage: any ByteStorage
    /// The offset of the first byte.
    public var offset: Int

    /// A tensor at an offset.
    public init(name: String, elementType: ElementType, shape: [Int], storage: any ByteStorage, offset: Int) {
        self.name = name
        self.elementType = elementType
        self.shape = shape
        self.storage = storage
        self.offset = offset
    }

    /// The number of bytes of the elements.
    public var byteCount: Int { shape.reduce(elementType.byteCount, *) }
    /// The number of elements of a row, which is everything after the first dimension.
    public var width: Int { shape.dropFirst().reduce(1, *) }
    /// The number of rows.
    public var height: Int { shape.first ?? 1 }
}
