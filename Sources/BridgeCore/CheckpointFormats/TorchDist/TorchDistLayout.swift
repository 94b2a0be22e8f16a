import BridgeSupport
import JSONTree
package import ModelSchema
package import TensorFiles
package import TensorRuntime
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
        guard (1...Self.mostWriters).contains(writers) else {
            throw BridgeError(.badArgument, "--writers is \(writers), expected 1 to \(Self.mostWriters)")
        }
        self.layout = layout
        self.writers = writers
    }

    private static let mostWriters = 1024

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
            for (index, group) in groups(own).enumerated() {
                var file = ItemFile(name: "__\(rank)_\(index).distcp")
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
                files.append(PlannedFile(name: file.name, parts: file.parts))
            }
        }
        try checkComplete(metadata)
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
        return split.slices(of: view, tensorSize: ranks).flatMap { slice in
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

    /// The pieces of a rank as neighbours in its files, about as many bytes in each.
    private func groups(_ pieces: [Piece]) -> [[Piece]] {
        let total = pieces.reduce(0) { $0 + $1.view.byteCount }
        var groups: [[Piece]] = [[]]
        var done = 0
        for piece in pieces {
            // A piece is where its middle is, so that one large piece does not shift all others.
            let middle = Double(done) + Double(piece.view.byteCount) / 2
            let file = total == 0 ? 0 : min(writers - 1, Int(saturating: middle / Double(total) * Double(writers)))
            if file >= groups.count, !(groups.last?.isEmpty ?? true) { groups.append([]) }
            groups[groups.count - 1].append(piece)
            done += piece.view.byteCount
        }
        return groups
    }

    /// A stack without one of its layers cannot be loaded.
    private func checkComplete(_ metadata: DistributedMetadata) throws {
        let wrong = metadata.entries.filter { entry in
            entry.chunks.reduce(0) { $0 + $1.sizes.reduce(1, *) } != entry.shape.reduce(1, *)
        }
        guard wrong.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(ByteFormat.counted(wrong.count, "tensor")) would lack some of the \(layout.layerCount) layers, which torch_dist "
                    + "stores together; import the complete model",
                names: wrong.map(\.key)
            )
        }
    }
}

/// A file of items that is planned.
private struct ItemFile {
    let name: String
    private(set) var parts: [PlannedFile.Part] = []
    private var byteCount = 0

    init(name: String) { self.name = name }

    /// The directory in the archive of an item.
    private static let prefix = "archive"
    /// The elements of larger tensors are on a page of the file, so that they can be written past the page cache and
    /// mapped; those of smaller ones where torch would align them.
    private static let (smallestOnPage, alignment) = (64 << 10, 64)

    /// Adds a tensor.
    mutating func add(_ view: TensorView, shape: [Int]) throws -> DistributedMetadata.Item {
        var graph = PickleGraph()
        graph.finish(graph.tensor(view.elementType, shape: shape, key: "0"))
        let size = view.byteCount
        let layout = ZipLayout(
            [
                ("\(Self.prefix)/data.pkl", .bytes(try PickleWriter.pickle(graph))),
                ("\(Self.prefix)/byteorder", .bytes(Array("little".utf8))),
                ("\(Self.prefix)/data/0", .elsewhere(byteCount: size)),
                ("\(Self.prefix)/version", .bytes(Array("3\n".utf8))),
            ],
            at: byteCount,
            alignment: size >= Self.smallestOnPage ? AlignedBuffer.alignment : Self.alignment
        )
        for part in layout.parts {
            switch part {
            case .bytes(let bytes): parts.append(.bytes(bytes))
            case .member: parts.append(.tensor(view))
            }
        }
        return item(layout.byteCount)
    }

    /// Adds a value without tensors.
    mutating func add(_ content: PickleGraph) throws -> DistributedMetadata.Item {
        let bytes = try TorchArchive.bytes(of: content, prefix: Self.prefix)
        parts.append(.bytes(bytes))
        return item(bytes.count)
    }

    private mutating func item(_ count: Int) -> DistributedMetadata.Item {
        defer { byteCount += count }
        return .init(file: name, range: byteCount..<byteCount + count)
    }
}
