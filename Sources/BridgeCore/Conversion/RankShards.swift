import BridgeSupport
package import CheckpointFormats
import JSONTree
import ModelSchema
import TensorFiles
package import TensorRuntime

/// The part of a run's checkpoint that one rank writes: what it has of parameters and of the optimizer's state.
///
/// The transform determines the position of a shard in Megatron's parameter: it is applied to the whole, of which
/// only this rank's part has a content.
package struct RankShards {
    /// A tensor of a rank.
    package struct Piece {
        package var name: String
        package var tensor: Tensor
        /// Its position in the whole matrix; nil for all of it.
        package var shard: ParameterShard?
        /// Whether this rank writes it.
        package var isOwn: Bool

        package init(name: String, tensor: Tensor, shard: ParameterShard?, isOwn: Bool) {
            self.name = name
            self.tensor = tensor
            self.shard = shard
            self.isOwn = isOwn
        }
    }

    private let names: TrainedNames
    private let tensorRank: Int
    private let stage: Int
    private let copy: Int

    /// The part of a rank.
    ///
    /// - Parameters:
    ///   - names: The parameters of the model.
    ///   - tensorRank: The rank along the tensor axis.
    ///   - stage: The rank along the pipeline axis.
    ///   - copy: The rank among those with the same parameters.
    package init(_ names: TrainedNames, tensorRank: Int, stage: Int, copy: Int) {
        (self.names, self.tensorRank, self.stage, self.copy) = (names, tensorRank, stage, copy)
    }

    /// What a rank has of a parameter.
    private struct Part {
        var name: String
        /// The parameter, of which only the blocks have a content.
        var whole: TensorView
        var place: TrainedNames.Place
        var blocks: [TensorView.Block]

        /// The elements of a block alone.
        func view(of block: TensorView.Block) -> TensorView {
            let size = [block.rows.count, block.columns.count]
            return TensorView(
                elementType: whole.elementType,
                shape: whole.shape.count == 1 ? [size[0]] : size,
                blocks: [.init(rows: 0..<size[0], columns: 0..<size[1], content: block.content)]
            )
        }
    }

    /// Tensors, and the beginning of their names in a file.
    package typealias Kind = (pieces: [Piece], prefix: String)

    /// What this rank writes of each parameter.
    private func parts(_ kinds: [Kind]) throws -> [Part] {
        try kinds.flatMap { pieces, prefix in
            try TrainedNames.grouped(pieces, name: \.name).compactMap { group in
                guard group.items.contains(where: \.isOwn) else { return nil }
                guard let place = names.location(of: group.whole) else {
                    throw BridgeError(
                        .badPlugin,
                        "the model has a parameter \(group.whole) that is missing from its parameter table"
                    )
                }
                let whole = place.transform.fromLayers(group.items.map(\.view))
                let blocks = whole.blocks.filter { $0.content != nil }.sorted {
                    ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound)
                }
                return blocks.isEmpty
                    ? nil : Part(name: prefix + group.whole, whole: whole, place: place, blocks: blocks)
            }
        }
    }

    /// The file of a kind of tensors, and the manifest's lines about what is in it.
    ///
    /// - Parameters:
    ///   - kinds: The tensors.
    ///   - kind: The beginning of the file's name.
    /// - Returns: The file, nil when this rank writes nothing of the kind, and the lines.
    /// - Throws: `BridgeError` for a name that the model does not have.
    package func file(_ kinds: [Kind], kind: String) throws
        -> (file: PlannedFile?, lines: [NativeManifest.Parameter])
    {
        let name = NativeLayout.fileName(kind, tensorRank: tensorRank, stage: stage, copy: copy)
        var views: [(name: String, view: TensorView)] = []
        var lines: [NativeManifest.Parameter] = []
        for part in try parts(kinds) {
            var start = 0
            var chunks: [NativeManifest.Chunk] = []
            for block in part.blocks {
                let size = [block.rows.count, block.columns.count]
                chunks.append(
                    .init(
                        file: name,
                        global: [block.rows.lowerBound, block.columns.lowerBound],
                        local: [start, 0],
                        size: size
                    )
                )
                start += size[0]
            }
            views.append((part.name, .concatenate(rows: part.blocks.map(part.view))))
            lines.append(
                NativeManifest.Parameter(
                    name: part.name,
                    elementType: part.whole.elementType,
                    shape: part.whole.shape,
                    split: part.place.split,
                    stage: part.place.stage,
                    layer: part.place.layer,
                    parts: part.place.parts,
                    chunks: chunks
                )
            )
        }
        guard !views.isEmpty else { return (nil, []) }
        let header = SafetensorsHeader(
            tensors: views.map { ($0.name, $0.view.elementType, $0.view.shape) },
            metadata: JSONObject([("format", "pt")])
        )
        return (
            .safetensors(name: name, header: header, views: views.map(\.view), alignment: AlignedBuffer.alignment),
            lines
        )
    }

    /// Adds what this rank writes to a file of Megatron-Core's container, each rectangle as a chunk.
    ///
    /// - Parameters:
    ///   - kinds: The tensors.
    ///   - layerCount: The number of layers of the model, which are stacked.
    ///   - file: The file.
    /// - Returns: The tensors, with the chunks of this rank.
    /// - Throws: `BridgeError` for a name that the model does not have.
    package func items(_ kinds: [Kind], layerCount: Int, in file: inout ItemFile) throws
        -> DistributedMetadata
    {
        var tensors = DistributedMetadata(entries: [], objects: [])
        var positions: [String: Int] = [:]
        for part in try parts(kinds) {
            let (key, layer) = MegatronKey.location(of: part.name)
            let shape = part.whole.shape
            let chunks = try part.blocks.map { block in
                var (offsets, sizes) = ([Int](repeating: 0, count: shape.count), shape)
                if !shape.isEmpty { (offsets[0], sizes[0]) = (block.rows.lowerBound, block.rows.count) }
                // Of tensors with more dimensions a rank has whole rows.
                if shape.count == 2 { (offsets[1], sizes[1]) = (block.columns.lowerBound, block.columns.count) }
                let stacked = layer.map { ([$0] + offsets, [1] + sizes) } ?? (offsets, sizes)
                let item = try file.add(part.view(of: block), shape: stacked.1)
                return DistributedMetadata.Chunk(offsets: stacked.0, sizes: stacked.1, item: item)
            }
            let size = layer.map { _ in [layerCount] + shape } ?? shape
            try tensors.add(
                .init(key: key, elementType: part.whole.elementType, shape: size, chunks: chunks),
                positions: &positions
            )
        }
        return tensors
    }
}

extension RankShards.Piece {
    /// The whole matrix, of which only this rank's own part has a content.
    fileprivate var view: TensorView {
        let whole = shard ?? ParameterShard(wholeOf: tensor.shape)
        guard isOwn else { return TensorView(elementType: tensor.elementType, shape: whole.shape, blocks: []) }
        let stored = StoredTensor(
            name: name,
            elementType: tensor.elementType,
            shape: tensor.shape,
            storage: TensorBytes(name: name, tensor: tensor),
            offset: 0
        )
        return TensorView(
            elementType: tensor.elementType,
            shape: whole.shape,
            blocks: [
                .init(
                    rows: whole.rows,
                    columns: whole.columns,
                    content: .init(tensor: stored, row: 0, column: 0, isTransposed: false)
                )
            ]
        )
    }
}

extension NativeManifest {
    /// The manifest of all ranks' parts.
    ///
    /// - Parameter others: The manifests of the other ranks.
    /// - Returns: This one with their parts and files.
    package func merged(with others: [NativeManifest]) -> NativeManifest {
        func merged(_ lines: [[Parameter]]) -> [Parameter] {
            var positions: [String: Int] = [:]
            var found: [Parameter] = []
            for line in lines.joined() {
                if let position = positions[line.name] {
                    found[position].chunks += line.chunks
                } else {
                    positions[line.name] = found.count
                    found.append(line)
                }
            }
            return found
        }
        var manifest = self
        let all = [self] + others
        manifest.parameters = merged(all.map(\.parameters))
        manifest.optimizer = merged(all.map(\.optimizer))
        manifest.files = all.flatMap(\.files)
        return manifest
    }

    /// Gives the manifest the ledger of parameters that come from memory.
    package mutating func setLedger(of names: [String]) {
        var ledger = Ledger()
        ledger.mapped = names
        self.ledger = ledger.json
    }

    /// Checks that every element of every parameter is in one file.
    ///
    /// - Throws: `BridgeError` with the names of those that are not.
    package func checkComplete() throws {
        let wrong = (parameters + optimizer).filter { line in
            line.chunks.reduce(0) { $0 + $1.size[0] * $1.size[1] } != line.shape.reduce(1, *)
        }
        guard wrong.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "the ranks have not written every element of \(ByteFormat.counted(wrong.count, "parameter")) once",
                names: wrong.map(\.name)
            )
        }
    }
}
