public import BridgeSupport
public import TensorRuntime

/// A tensor as it lies in some storage: its header, and where its bytes are.
public struct StoredTensor: Sendable {
    /// The name under which the storage holds it.
    public var name: String
    /// The type of the elements.
    public var elementType: ElementType
    /// The sizes, row-major; empty for a scalar.
    public var shape: [Int]
    /// What holds the bytes.
    public var storage: any ByteStorage
    /// Where the first byte is.
    public var offset: Int

    /// A tensor at a place.
    public init(name: String, elementType: ElementType, shape: [Int], storage: any ByteStorage, offset: Int) {
        self.name = name
        self.elementType = elementType
        self.shape = shape
        self.storage = storage
        self.offset = offset
    }

    /// How many bytes the elements take.
    public var byteCount: Int { shape.reduce(elementType.byteCount, *) }
    /// How many elements a row has, a row being everything behind the first dimension.
    public var width: Int { shape.dropFirst().reduce(1, *) }
    /// How many rows there are.
    public var height: Int { shape.first ?? 1 }
}
