import BridgeSupport
import ModelSchema
import TensorFiles
import TensorRuntime
package import TorchFiles

/// Shards parameters across the files of Megatron-Core's container.
///
/// Layers lie one after the other in one tensor, `decoder.layers.mlp.linear_fc1.weight`, each in chunks of its own: one
/// for each tensor rank, and of a fused matrix one for the gate and one for the other half. Chunks of any size would
/// load, these are those of the ranks that train with the layout.
package struct TorchDistLayout {
    let layout: NativeLayout
    /// The number of files that each rank writes.
    let writers: Int

    /// A layout.
    ///
    /// - Parameters:
    ///   - layout: The ranks, and the padding of the vocabulary.
    ///   - writers: The number of files of each rank.
    /// - Throws: `BridgeError` for a number of files that no checkpoint has.
    package init(_ layout: NativeLayout, writers: Int) throws {
        try ItemFile.check(writers: writers)
        self.layout = layout
        self.writers = writers
    }

    /// The part of a tensor that a rank writes.
    private struct Piece {
        var rank: Int
        var key: String
        var offsets: [Int]
        var sizes: [Int]
        var view: TensorView
    }

    /// The files of the items and the file that lists them.
    ///
    /// - Parameters:
    ///   - parameters: Parameters of the model, and values of the optimizer as `optimizer.KIND.PARAMETER`.
    ///   - objects: Files of `torch.save`, by their keys; one content may have several.
    /// - Returns: The files.
    /// - Throws: `BridgeError` for parameters that the tensor axis cannot divide, and for layers that differ in type.
    package func files(_ parameters: [GlobalParameter], objects: [(keys: [String], content: PickleGraph)]) throws
        -> [PlannedFile]
    {
        try layout.check(parameters)
        var entries: [DistributedMetadata.Entry] = []
        var positions: [String: Int] = [:]
        var pieces: [Piece] = []
        for parameter in parameters {
            let location = MegatronKey.location(of: parameter.name)
            let shape = self.shape(of: parameter)
            let layers = location.layer.map { _ in [layout.layerCount] } ?? []
            if let position = positions[location.key] {
                let entry = entries[position]
                guard entry.elementType == parameter.view.elementType, entry.shape == layers + shape,
                    location.layer != nil
                else {
                    throw BridgeError(
                        .badArgument,
                        "\(parameter.name) is \(shape) of \(parameter.view.elementType.rawValue), and other layers are "
                            + "\(Array(entry.shape.dropFirst())) of \(entry.elementType.rawValue); all layers are one tensor in "
                            + "torch_dist, so choose their type with --dtype"
                    )
                }
            } else {
                positions[location.key] = entries.count
                entries.append(
                    .init(
                        key: location.key,
                        elementType: parameter.view.elementType,
                        shape: layers + shape,
                        chunks: []
                    )
                )
            }
            pieces += self.pieces(of: parameter, key: location.key, layer: location.layer, shape: shape)
        }
        var metadata = DistributedMetadata(entries: entries, objects: [])
        var files: [PlannedFile] = []
        for (rank, own) in Dictionary(grouping: pieces, by: \.rank).sorted(by: { $0.key < $1.key }) {
            for (index, group) in ItemFile.groups(of: own, writers: writers, byteCount: \.view.byteCount).enumerated() {
                var file = ItemFile(rank: rank, index: index)
                if rank == 0, index == 0 {
                    for (keys, content) in objects {
                        let item = try file.add(content)
                        metadata.objects += keys.map { .init(key: $0, item: item) }
                    }
                }
                for piece in group {
                    let item = try file.add(piece.view, shape: piece.sizes)
                    metadata.entries[positions[piece.key] ?? 0].chunks.append(
                        .init(offsets: piece.offsets, sizes: piece.sizes, item: item)
                    )
                }
                files.append(file.planned)
            }
        }
        try metadata.checkComplete(layerCount: layout.layerCount)
        metadata.addMainParameters()
        return files + [.literal(name: DistributedMetadata.name, try metadata.pickled())]
    }

    /// The shape of a parameter with the padding of a vocabulary.
    private func shape(of parameter: GlobalParameter) -> [Int] {
        guard let padded = layout.paddedHeight(of: parameter) else { return parameter.view.shape }
        return [padded] + parameter.view.shape.dropFirst()
    }

    /// The chunks of a parameter, each on the rank that has it.
    private func pieces(of parameter: GlobalParameter, key: String, layer: Int?, shape: [Int]) -> [Piece] {
        let ranks = layout.layout.tensorSize
        let first = layout.stage(of: parameter) * ranks
        let padded = layout.paddedHeight(of: parameter)
        let view = padded.map { parameter.view.padded(toHeight: $0) } ?? parameter.view
        // The padded rows are stored too, so they are divided like all others.
        let split = parameter.split == .vocabulary ? SplitRule.column : parameter.split
        return split.slices(of: view, parts: parameter.parts, tensorSize: ranks).flatMap { slice in
            slice.positions.map { place in
                let isWhole = slice.positions.count == 1
                var (offsets, sizes) = ([Int](repeating: 0, count: shape.count), shape)
                if !shape.isEmpty { (offsets[0], sizes[0]) = (place.globalRow, place.height) }
                if shape.count == 2 { (offsets[1], sizes[1]) = (place.globalColumn, place.width) }
                let rows = place.localRow..<place.localRow + place.height
                return Piece(
                    rank: first + slice.tensorRank,
                    key: key,
                    offsets: layer.map { [$0] + offsets } ?? offsets,
                    sizes: layer.map { _ in [1] + sizes } ?? sizes,
                    view: isWhole ? slice.view : slice.view.rows(rows)
                )
            }
        }
    }
}
