import Communication
package import ModelSchema
package import TensorFiles
package import TensorRuntime

/// What a rank loads of a model.
extension ModelParallelism {
    /// Whether this rank's stage has a parameter; the last one has a tied embedding too.
    package func has(_ entry: ParameterTable.Entry, isTied: Bool) -> Bool {
        switch entry.mapping.stage {
        case .layer: chunks.contains { $0.contains(entry.layer ?? 0) }
        case .last: postProcess
        case .first: preProcess || (postProcess && isTied && entry.mapping.split == .vocabulary)
        }
    }

    /// The position of the part of a matrix that this rank has, and what is done to its gradient.
    ///
    /// - Parameters:
    ///   - shape: The shape of the matrix, which is a part of the parameter as layers have it.
    ///   - entry: The parameter.
    ///   - piece: Which of its matrices it is.
    /// - Returns: The position, nil for a matrix on one rank.
    package func shard(of shape: [Int], _ entry: ParameterTable.Entry, piece: Int)
        -> (shard: ParameterShard?, reduction: GradientReduction?)
    {
        let (rank, size) = (groups.tp.rank, groups.tp.size)
        guard size > 1 || groups.pp.size > 1 else { return (nil, nil) }
        let (height, width) = (shape.first ?? 1, shape.dropFirst().reduce(1, *))
        // The last stage's copy of a tied embedding stands for nothing.
        let isCopy = entry.mapping.stage == .first && !preProcess
        var shard = ParameterShard(wholeOf: shape, isOwner: !isCopy)
        func equal(_ count: Int, of parts: Int, _ part: Int) -> Range<Int> {
            part * (count / parts)..<(part + 1) * (count / parts)
        }
        // Whatever a checkpoint does with them: every tensor-parallel rank has the vision tower and the projector.
        let isOfImages = entry.mapping.stage == .first && entry.mapping.split != .vocabulary
        switch isOfImages ? .replicated : entry.mapping.split {
        case .replicated: shard.isOwner = rank == 0 && !isCopy
        case .row: shard.columns = equal(width, of: size, rank)
        case .vocabulary:
            let part = (height + size - 1) / size
            shard.rows = min(rank * part, height)..<min((rank + 1) * part, height)
        case .column, .gatedColumn:
            guard piece > 0, let kvGroups = entry.mapping.parts, size > kvGroups else {
                shard.rows = equal(height, of: size, rank)
                break
            }
            // Several ranks have the keys and values of one group, each with some of its queries.
            let copies = size / kvGroups
            shard.rows = equal(height, of: kvGroups, rank / copies)
            shard.isOwner = rank % copies == 0
            return (shard, GradientReduction(over: groups.tp, copies: (kvGroups, rank / copies)))
        }
        return (shard, nil)
    }
}

extension ParameterShard {
    /// The shape of the part.
    package var localShape: [Int] {
        guard let height = shape.first else { return shape }
        if columns.count == shape.dropFirst().reduce(1, *) {
            return rows.count == height ? shape : [rows.count] + shape.dropFirst()
        }
        return [rows.count, columns.count]
    }

    /// The part of a whole matrix.
    package func part(of view: TensorView) -> TensorView {
        let some = rows == 0..<view.height ? view : view.rows(rows)
        return columns == 0..<view.width ? some : some.columns(columns)
    }

    /// The part of a whole matrix, in memory of its own.
    package func part(of tensor: Tensor) -> Tensor {
        guard !isWhole, tensor.rank > 0 else { return tensor }
        let some = tensor.narrowed(0, to: rows)
        return (tensor.rank == 2 ? some.narrowed(1, to: columns) : some).contiguous()
    }
}
