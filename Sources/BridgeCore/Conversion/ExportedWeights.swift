package import TensorFiles
public import TensorRuntime

/// The tensors of a model as bytes, read one after the other.
public struct ExportedWeights: Sequence, Sendable {
    /// A tensor with its bytes, little-endian and row-major.
    public struct Weight: Sendable {
        /// Its name.
        public let name: String
        /// The type of its elements.
        public let elementType: ElementType
        /// Its sizes.
        public let shape: [Int]

        let view: TensorView

        /// Reads the bytes.
        ///
        /// - Throws: `BridgeError` when they cannot be read.
        public func bytes() throws -> [UInt8] { try TensorReader().bytes(of: view) }
    }

    private let weights: [Weight]

    package init(_ tensors: [(name: String, view: TensorView)]) {
        weights = tensors.map {
            Weight(name: $0.name, elementType: $0.view.elementType, shape: $0.view.shape, view: $0.view)
        }
    }

    /// The tensors in the order of the model.
    public func makeIterator() -> IndexingIterator<[Weight]> { weights.makeIterator() }

    /// The number of tensors.
    public var count: Int { weights.count }
}
