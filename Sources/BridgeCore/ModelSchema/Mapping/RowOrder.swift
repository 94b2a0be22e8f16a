import BridgeSupport
package import TensorFiles
package import TensorRuntime

/// The rows of a tensor of Hugging Face's in the order in which the layers have them.
///
/// What belongs to the rows of a matrix and is not in the table, such as an adapter's B, DoRA's magnitude and a gradient,
/// is moved with it.
package struct RowOrder: Sendable, Equatable {
    /// The row of Hugging Face's tensor for each row of the layers'.
    private let sources: [Int32]
    /// The row of the layers' tensor for each row of Hugging Face's.
    private let targets: [Int32]

    private init(_ sources: [Int32]) {
        self.sources = sources
        var targets = [Int32](repeating: 0, count: sources.count)
        for (row, source) in sources.enumerated() { targets[Int(source)] = Int32(row) }
        self.targets = targets
    }

    /// A tensor of Hugging Face's, with its rows as the layers have them.
    package func toLayers(_ view: TensorView) -> TensorView {
        .concatenate(rows: sources.map { view.rows(Int($0)..<Int($0) + 1) })
    }

    /// A tensor of the layers, with its rows as Hugging Face has them.
    package func toHuggingFace(_ tensor: Tensor) -> Tensor {
        let width = tensor.shape.dropFirst().reduce(1, *)
        return tensor.reshaped([tensor.shape[0], width]).rows(targets).reshaped(tensor.shape)
    }
}

extension RowOrder {
    /// The orders of the rows of a parameter's tensors.
    package enum Match: Sendable, Equatable {
        /// The layers have the rows of the tensor in its order.
        case same
        /// They have them in another order.
        case moved(RowOrder)
        /// What they have is not made of whole rows of the tensor.
        case none
    }

    /// Compares a tensor with the matrix that the layers have of it.
    fileprivate init?(of view: TensorView, tensor name: String, shape: [Int]) {
        guard view.shape == shape else { return nil }
        var sources = [Int32](repeating: -1, count: view.height)
        for block in view.blocks {
            guard let content = block.content, content.tensor.name == name, !content.isTransposed, content.column == 0,
                block.columns == 0..<view.width
            else { return nil }
            for (index, row) in block.rows.enumerated() { sources[row] = Int32(content.row + index) }
        }
        guard Set(sources) == Set(0..<Int32(view.height)) else { return nil }
        self.init(sources)
    }

    fileprivate var match: Match { sources.elementsEqual(0..<Int32(sources.count)) ? .same : .moved(self) }
}

extension ParameterTable.Entry {
    /// For each tensor how the layers have its rows.
    package var rowMatches: [RowOrder.Match] {
        let tensors = zip(huggingFace.indices, shapes).map { index, shape in
            StoredTensor(
                name: "\(index)",
                elementType: .uint8,
                shape: shape,
                // No element is read.
                storage: MemoryStorage(name: "rows", bytes: []),
                offset: 0
            )
        }
        let matrices = mapping.transform.toLayers(mapping.transform.toMegatron(tensors.map(TensorView.init)))
        guard matrices.count == tensors.count else { return tensors.map { _ in .none } }
        return zip(matrices, tensors).map { matrix, tensor in
            RowOrder(of: matrix, tensor: tensor.name, shape: tensor.shape)?.match ?? .none
        }
    }
}
