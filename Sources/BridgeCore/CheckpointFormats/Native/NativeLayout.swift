import BridgeSupport
import JSONTree
import ModelSchema
import TensorFiles
package import TensorRuntime

/// Shards parameters across the rank files of the native container.
package struct NativeLayout {
    /// The layout, with the number of layers of each stage.
    package let layout: RankLayout
    package let layerCount: Int
    /// A vocabulary is padded to a multiple of this and of the tensor size; nil where it only has to divide evenly.
    package let vocabularyMultiple: Int?

    /// A layout for a model.
    ///
    /// - Parameters:
    ///   - requested: The sizes; the layers of the stages may be left to the model.
    ///   - layerCount: The model's number of decoder layers.
    ///   - vocabularyMultiple: The unit of the padding of a vocabulary, per tensor rank; nil for one that divides evenly.
    /// - Throws: `BridgeError` for a layout that the model cannot have.
    package init(_ requested: RankLayout, layerCount: Int, vocabularyMultiple: Int? = nil) throws {
        try Self.check(requested, layerCount: layerCount, vocabularyMultiple: vocabularyMultiple)
        layout = RankLayout(
            tensorSize: requested.tensorSize,
            stageLayers: requested.layersPerStage(of: layerCount)
        )
        self.layerCount = layerCount
        self.vocabularyMultiple = vocabularyMultiple
    }

    /// The files of the ranks, and the manifest's lines about the parameters in them.
    ///
    /// - Parameters:
    ///   - parameters: The parameters.
    ///   - kind: What the files' names begin with.
    /// - Returns: Files and lines.
    /// - Throws: `BridgeError` for parameters that the tensor axis cannot divide.
    package func shard(_ parameters: [GlobalParameter], kind: String = "weights") throws
        -> (plannedFiles: [PlannedFile], parameters: [NativeManifest.Parameter])
    {
        try check(parameters)
        var files: [String: [(name: String, view: TensorView)]] = [:]
        var lines: [NativeManifest.Parameter] = []
        for parameter in parameters {
            let stage = stage(of: parameter)
            let padded = paddedHeight(of: parameter)
            var chunks: [NativeManifest.Chunk] = []
            let slices = parameter.split.slices(
                of: parameter.view,
                parts: parameter.parts,
                tensorSize: layout.tensorSize,
                paddedHeight: padded
            )
            for slice in slices {
                let file = Self.fileName(kind, tensorRank: slice.tensorRank, stage: stage)
                files[file, default: []].append((parameter.name, slice.view))
                chunks += slice.positions.map {
                    NativeManifest.Chunk(
                        file: file,
                        global: [$0.globalRow, $0.globalColumn],
                        local: [$0.localRow, $0.localColumn],
                        size: [$0.height, $0.width]
                    )
                }
            }
            lines.append(
                NativeManifest.Parameter(
                    name: parameter.name,
                    elementType: parameter.view.elementType,
                    shape: parameter.view.shape,
                    split: parameter.split,
                    stage: parameter.stage,
                    layer: parameter.layer,
                    parts: parameter.parts,
                    chunks: chunks
                )
            )
        }
        let plannedFiles = files.sorted { $0.key < $1.key }.map { name, tensors in
            let header = SafetensorsHeader(
                tensors: tensors.map { ($0.name, $0.view.elementType, $0.view.shape) },
                metadata: JSONObject([("format", "pt")])
            )
            // On a page, so that a reader can map the file and hand out aligned tensors.
            return PlannedFile.safetensors(
                name: name,
                header: header,
                views: tensors.map(\.view),
                alignment: AlignedBuffer.alignment
            )
        }
        return (plannedFiles, lines)
    }

    /// A bound on each axis, so that products with it cannot overflow.
    private static let mostRanks = 1 << 16
    /// A bound on the padding of a vocabulary, for the same reason.
    private static let largestMultiple = 1 << 20

    /// The rows of a parameter with its padding; nil when its rows are not the vocabulary.
    package func paddedHeight(of parameter: GlobalParameter) -> Int? {
        guard parameter.split == .vocabulary else { return nil }
        let height = parameter.view.height
        let unit = vocabularyMultiple.map { $0 * layout.tensorSize } ?? layout.tensorSize
        return (height + unit - 1) / unit * unit
    }

    /// The name of a rank's file; of ranks with the same parameters all but the first have their number in it.
    package static func fileName(_ kind: String, tensorRank: Int, stage: Int, copy: Int = 0) -> String {
        let copy = copy > 0 ? "_dp\(copy.padded(to: 2))" : ""
        return "\(kind)_tp\(tensorRank.padded(to: 2))_pp\(stage.padded(to: 2))\(copy).safetensors"
    }

    /// The pipeline stage that has a parameter.
    func stage(of parameter: GlobalParameter) -> Int {
        switch parameter.stage {
        case .first: 0
        case .last: layout.pipelineSize - 1
        case .layer: layout.stage(ofLayer: parameter.layer ?? 0, of: layerCount)
        }
    }

    private static func check(_ layout: RankLayout, layerCount: Int, vocabularyMultiple: Int?) throws {
        guard (1...mostRanks).contains(layout.tensorSize), layout.pipelineSize > 0 else {
            throw BridgeError(.badLayout, "the layout is \(layout); sizes must be from 1 to \(mostRanks)")
        }
        guard layout.pipelineSize <= layerCount else {
            throw BridgeError(
                .badLayout,
                "the layout has \(layout.pipelineSize) pipeline stages and the model \(layerCount) layers; "
                    + "every stage needs at least one, so choose a smaller --pp"
            )
        }
        let stages = layout.layersPerStage(of: layerCount)
        guard stages.allSatisfy({ (1...layerCount).contains($0) }), stages.reduce(0, +) == layerCount else {
            throw BridgeError(
                .badLayout,
                "the stages have \(stages.map(String.init).joined(separator: " + ")) layers; the model has \(layerCount), "
                    + "and every stage needs at least one"
            )
        }
        guard (1...largestMultiple).contains(vocabularyMultiple ?? 1) else {
            throw BridgeError(
                .badLayout,
                "the vocabulary cannot be padded to a multiple of \(vocabularyMultiple ?? 1), expected 1 to \(largestMultiple)"
            )
        }
    }

    /// Checks that the tensor axis can divide the parameters.
    ///
    /// - Throws: `BridgeError` with the names of those that it cannot.
    func check(_ parameters: [GlobalParameter]) throws {
        let obstacles = parameters.compactMap { parameter in
            parameter.split.obstacle(to: parameter.view.shape, parts: parameter.parts, tensorSize: layout.tensorSize)
                .map { "\(parameter.name): \($0)" }
        }
        guard obstacles.isEmpty else {
            throw BridgeError(
                .badLayout,
                "the model cannot be divided by \(layout.tensorSize) along the tensor axis; choose a smaller --tp",
                names: obstacles
            )
        }
    }
}
