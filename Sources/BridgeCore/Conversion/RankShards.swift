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

    /// The file of a kind of tensors, and the manifest's lines about what is in it.
    ///
    /// - Parameters:
    ///   - kinds: The tensors, and the beginning of their names in the file.
    ///   - kind: The beginning of the file's name.
    /// - Returns: The file, nil when this rank writes nothing of the kind, and the lines.
    /// - Throws: `BridgeError` for a name that the model does not have.
    package func file(_ kinds: [(pieces: [Piece], prefix: String)], kind: String) throws
        -> (file: PlannedFile?, lines: [NativeManifest.Parameter])
    {
        let name = NativeLayout.fileName(kind, tensorRank: tensorRank, stage: stage, copy: copy)
        var views: [(name: String, view: TensorView)] = []
        var lines: [NativeManifest.Parameter] = []
        for (pieces, prefix) in kinds {
            for group in TrainedNames.grouped(pieces, name: \.name) where group.items.contains(where: \.isOwn) {
                guard let location = names.location(of: group.whole) else {
                    throw BridgeError(
                        .badPlugin,
                        "the model has a parameter \(group.whole) that is missing from its parameter table"
                    )
                }
                let whole = location.transform.fromLayers(group.items.map(\.view))
                let blocks = whole.blocks.filter { $0.content != nil }.sorted {
                    ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound)
                }
                guard !blocks.isEmpty else { continue }
                var start = 0
                var chunks: [NativeManifest.Chunk] = []
                var parts: [TensorView] = []
                for block in blocks {
                    let size = [block.rows.count, block.columns.count]
                    chunks.append(
                        .init(
                            file: name,
                            global: [block.rows.lowerBound, block.columns.lowerBound],
                            local: [start, 0],
                            size: size
                        )
                    )
                    parts.append(
                        TensorView(
                            elementType: whole.elementType,
                            shape: whole.shape.count == 1 ? [size[0]] : size,
                            blocks: [.init(rows: 0..<size[0], columns: 0..<size[1], content: block.content)]
                        )
                    )
                    start += size[0]
                }
                views.append((prefix + group.whole, .concatenate(rows: parts)))
                lines.append(
                    NativeManifest.Parameter(
                        name: prefix + group.whole,
                        elementType: whole.elementType,
                        shape: whole.shape,
                        split: location.split,
                        stage: location.stage,
                        layer: location.layer,
                        parts: location.parts,
                        chunks: chunks
                    )
                )
            }
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
