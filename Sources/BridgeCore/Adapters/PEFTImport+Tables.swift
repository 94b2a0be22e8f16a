import BridgeSupport
import Models
import TensorFiles
import TensorRuntime

// Adapters of the embedding, and trained tokens.
extension PEFTImport {
    /// Merges an embedding's adapter, or trained tokens, into a table.
    ///
    /// The result is a separate table: an adapter of this kind is small in the file and changes every row.
    func change(_ table: Parameter, by parts: [PEFTTensors.Kind: StoredTensor]) throws -> Bool {
        var isChanged = false
        if parts[.embeddingDown] != nil || parts[.embeddingUp] != nil {
            try addEmbedding(parts, to: table)
            isChanged = true
        } else if parts[.down] != nil, table === decoder.embedding {
            throw BridgeError(.corruptInput, "is an embedding, and the file has an adapter of a linear layer for it")
        }
        if let stored = parts[.tokens] {
            try replaceRows(of: table, by: stored)
            isChanged = true
        }
        return isChanged
    }

    private func replaceRows(of table: Parameter, by stored: StoredTensor) throws {
        let module = names.modules[table === decoder.embedding ? decoder.embedding.name : decoder.outputName] ?? ""
        let isEmbedding = table === decoder.embedding
        let entry = configuration.tokenIndices.first { entry in
            entry.module.map { module.hasSuffix($0) } ?? isEmbedding
        }
        guard let indices = entry?.indices else {
            throw BridgeError(.corruptInput, "has trained tokens, and trainable_token_indices does not name them")
        }
        let (height, width) = (table.tensor.shape[0], table.tensor.shape[1])
        guard stored.shape == [indices.count, width], isFloating(stored) else {
            throw BridgeError(
                .corruptInput,
                "has trained tokens of the shape \(stored.shape), expected \([indices.count, width])"
            )
        }
        if let wrong = indices.first(where: { $0 < 0 || $0 >= height }) {
            throw BridgeError(.corruptInput, "trainable_token_indices holds \(wrong), and the table has \(height) rows")
        }
        let type = partType ?? table.tensor.elementType
        let rows = try read(stored, as: type)
        let whole = Tensor(uninitialized: table.tensor.shape, type, on: table.tensor.engine)
        table.tensor.engine.copy(table.tensor.detached, into: whole)
        for (location, row) in indices.enumerated() { table.tensor.engine.copy(rows.at(location), into: whole.at(row)) }
        table.replace(with: whole)
    }

    /// Adds `scale A^T B^T` to a table, with DoRA's magnitude for each of its columns.
    ///
    /// Source: `Embedding` in peft/tuners/lora/layer.py, `DoraEmbeddingLayer` in peft/tuners/lora/dora.py, 0.21.
    private func addEmbedding(_ parts: [PEFTTensors.Kind: StoredTensor], to table: Parameter) throws {
        let (height, width) = (table.tensor.shape[0], table.tensor.shape[1])
        let shape = try shape(of: table.name)
        func matrix(_ kind: PEFTTensors.Kind, _ size: [Int]) throws -> Tensor {
            guard let stored = parts[kind] else {
                throw BridgeError(.corruptInput, "lacks \(kind.rawValue.dropFirst())")
            }
            guard stored.shape == size, isFloating(stored) else {
                throw BridgeError(.corruptInput, "\(stored.name) has the shape \(stored.shape), expected \(size)")
            }
            return try read(stored, as: .float32)
        }
        let down = try matrix(.embeddingDown, [shape.rank, height]).transposed()
        let up = try matrix(.embeddingUp, [width, shape.rank]).transposed().contiguous() * Float(shape.scale)
        let magnitude = configuration.usesDoRA ? try matrix(.magnitude, [width]) : nil
        let chunk = max(1, (32 << 20) / max(4 * width, 1))
        let ranges = stride(from: 0, to: height, by: chunk).map { $0..<min($0 + chunk, height) }
        func sum(_ range: Range<Int>) -> Tensor {
            let rows = table.tensor.detached.narrowed(0, to: range).cast(to: .float32)
            return rows + down.narrowed(0, to: range).contiguous().matrixProduct(up)
        }
        var factor: Tensor?
        if let magnitude {
            var squares = Tensor.zeros([1, width], .float32, on: table.tensor.engine)
            for range in ranges {
                let part = sum(range)
                squares = squares + (part * part).sum(over: [0]).reshaped([1, width])
            }
            factor = magnitude.reshaped([1, width]) / squares.applying(.squareRoot)
        }
        let type = partType ?? table.tensor.elementType
        let whole = Tensor(uninitialized: [height, width], type, on: table.tensor.engine)
        for range in ranges {
            let part = sum(range)
            table.tensor.engine.copy(factor.map { part * $0 } ?? part, into: whole.narrowed(0, to: range))
        }
        table.replace(with: whole)
    }
}
