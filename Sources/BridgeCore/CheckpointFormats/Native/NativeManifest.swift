import BridgeSupport
public import JSONTree
public import ModelSchema
public import TensorFiles
public import TensorRuntime

/// `manifest.json` of the native container: everything about a checkpoint except its weights.
public struct NativeManifest: Sendable {
    /// The name and version of the format that is written and read.
    static let format = "bridge-native"
    package static let formatVersion = 1

    /// The architecture, as `config.json` has it.
    public var architecture: String
    /// The family's name.
    public var family: String
    /// The plugin's name and version at the time of writing.
    public var plugin: String
    /// The style of names and files of the Hugging Face side.
    public var style: HuggingFaceDirectory.Style
    /// The layout of the parameters over the files.
    public var layout: RankLayout
    /// The ledger of the import.
    public var ledger: JSON
    /// Every parameter by name, in the order of the model.
    public var parameters: [Parameter]
    /// The optimizer's state of each trained parameter; empty without one.
    public var optimizer: [Parameter] = []
    /// Whether the parameters are those of adapters, which a model is needed for.
    public var holdsAdapter = false
    /// Every file by its path inside the checkpoint.
    public var files: [File]

    package init(
        architecture: String,
        family: String,
        plugin: String,
        style: HuggingFaceDirectory.Style,
        layout: RankLayout = .single,
        ledger: JSON,
        parameters: [Parameter] = [],
        optimizer: [Parameter] = [],
        holdsAdapter: Bool = false,
        files: [File] = []
    ) {
        self.architecture = architecture
        self.family = family
        self.plugin = plugin
        self.style = style
        self.layout = layout
        self.ledger = ledger
        self.parameters = parameters
        self.optimizer = optimizer
        self.holdsAdapter = holdsAdapter
        self.files = files
    }

    /// A parameter and where its parts are.
    public struct Parameter: Sendable {
        /// Megatron's name.
        public var name: String
        /// The type of the elements.
        public var elementType: ElementType
        /// The shape of the whole, without padding.
        public var shape: [Int]
        /// Its split rule.
        public var split: SplitRule
        /// On which kind of stage it belongs.
        public var stage: ParameterMapping.Stage
        /// The decoder layer; nil outside the layers.
        public var layer: Int?
        /// The number of equal parts along the rows that must not be divided; nil for single rows.
        public var parts: Int?
        /// Its location.
        public var chunks: [Chunk]

        package init(
            name: String,
            elementType: ElementType,
            shape: [Int],
            split: SplitRule,
            stage: ParameterMapping.Stage,
            layer: Int?,
            parts: Int?,
            chunks: [Chunk]
        ) {
            self.name = name
            self.elementType = elementType
            self.shape = shape
            self.split = split
            self.stage = stage
            self.layer = layer
            self.parts = parts
            self.chunks = chunks
        }
    }

    /// A rectangle of a parameter in a file.
    public struct Chunk: Sendable {
        /// The file.
        public var file: String
        /// Its first row and column in the whole parameter.
        public var global: [Int]
        /// Its first row and column in the file's tensor.
        public var local: [Int]
        /// Its rows and columns.
        public var size: [Int]

        package init(file: String, global: [Int], local: [Int], size: [Int]) {
            self.file = file
            self.global = global
            self.local = local
            self.size = size
        }
    }

    /// A file with its checksum.
    public struct File: Sendable {
        /// The path inside the checkpoint.
        public var name: String
        /// The size.
        public var byteCount: Int
        /// The checksum over the blocks' checksums.
        public var checksum: String
        /// The checksums of the blocks; empty for a file of one block.
        public var blocks: [String]

        package init(name: String, byteCount: Int, checksum: String, blocks: [String]) {
            self.name = name
            self.byteCount = byteCount
            self.checksum = checksum
            self.blocks = blocks
        }

        /// A small file by its content.
        package init(name: String, bytes: [UInt8]) {
            let size = BlockChecksum.blockByteCount
            let blocks = stride(from: 0, to: bytes.count, by: size).map { start in
                bytes[start..<min(start + size, bytes.count)].withUnsafeBytes(BlockChecksum.digest)
            }
            self.init(CheckpointWriter.Written(name: name, byteCount: bytes.count, blocks: blocks))
        }

        /// A file that was written.
        init(_ written: CheckpointWriter.Written) {
            self.init(
                name: written.name,
                byteCount: written.byteCount,
                checksum: BlockChecksum.root(written.blocks).description,
                blocks: written.blocks.count > 1 ? written.blocks.map(\.description) : []
            )
        }

        /// Whether a block has the checksum that it was written with.
        func expects(_ index: Int, _ digest: BlockChecksum.Digest) -> Bool {
            guard !blocks.isEmpty else { return index == 0 && BlockChecksum.root([digest]).description == checksum }
            return blocks.indices.contains(index) && blocks[index] == digest.description
        }
    }
}

extension NativeManifest {
    /// The manifest with the checksums of the files of its checkpoint.
    package func withChecksums(_ written: [CheckpointWriter.Written]) -> NativeManifest {
        var manifest = self
        manifest.files = written.map { File($0) }
        return manifest
    }

    /// The manifest as JSON.
    public var json: JSON {
        var parameters = JSONObject()
        for parameter in self.parameters { parameters[parameter.name] = parameter.json }
        var json: JSON = [
            "format": .string(Self.format),
            "format_version": JSON(Self.formatVersion),
            "architecture": .string(architecture),
            "family": .string(family),
            "plugin": .string(plugin),
            "huggingface_style": .string(style.rawValue),
            "layout": [
                "tensor_model_parallel_size": JSON(layout.tensorSize),
                "pipeline_model_parallel_size": JSON(layout.pipelineSize),
                "layers_per_stage": layout.stageLayers.json,
            ],
            "ledger": ledger,
            "parameters": .object(parameters),
            "checksums": FileChecksums.algorithm,
            "files": FileChecksums.json(of: files),
        ]
        if !optimizer.isEmpty {
            var lines = JSONObject()
            for parameter in optimizer { lines[parameter.name] = parameter.json }
            json.set(.object(lines), at: "optimizer")
        }
        if holdsAdapter { json.set(.bool(true), at: "holds_adapter") }
        return json
    }

    /// Reads a manifest.
    ///
    /// - Throws: `BridgeError` for an invalid manifest.
    public init(json: JSON, name: String) throws {
        let reader = JSONReader(json, name: name)
        guard json["format"]?.string == Self.format else {
            throw BridgeError(.corruptInput, "\(name) is not the manifest of a native checkpoint")
        }
        try FileChecksums.checkVersion(reader, atMost: Self.formatVersion)
        architecture = try reader.string("architecture")
        family = try reader.string("family")
        plugin = try reader.string("plugin")
        style = try reader.choice("huggingface_style")
        ledger = json["ledger"] ?? .object(JSONObject())
        let sizes = JSONReader(json["layout"] ?? .null, name: name)
        layout = RankLayout(
            tensorSize: try sizes.integer("tensor_model_parallel_size"),
            pipelineSize: try sizes.integer("pipeline_model_parallel_size"),
            stageLayers: sizes["layers_per_stage"] == nil ? [] : try sizes.integers("layers_per_stage")
        )
        func parameters(_ key: String) throws -> [Parameter] {
            try reader.object(key).map { try Parameter(name: $0.key, JSONReader($0.value, name: "\(name): \($0.key)")) }
        }
        self.parameters = try parameters("parameters")
        if reader["optimizer"] != nil { optimizer = try parameters("optimizer") }
        holdsAdapter = json["holds_adapter"]?.bool ?? false
        files = try FileChecksums.files(in: reader)
    }
}

extension NativeManifest.Parameter {
    fileprivate var json: JSON {
        var json: JSON = [
            "dtype": .string(elementType.rawValue),
            "shape": shape.json,
            "split": .string(split.rawValue),
            "stage": .string(stage.rawValue),
        ]
        if let layer { json.set(JSON(layer), at: "layer") }
        if let parts { json.set(JSON(parts), at: "parts") }
        let chunks: [JSON] = chunks.map {
            ["file": .string($0.file), "global": $0.global.json, "local": $0.local.json, "size": $0.size.json]
        }
        json.set(.array(chunks), at: "chunks")
        return json
    }

    fileprivate init(name: String, _ reader: JSONReader) throws {
        self.name = name
        elementType = try reader.choice("dtype")
        shape = try reader.sizes("shape")
        split = try reader.choice("split")
        stage = try reader.choice("stage")
        layer = try reader.optionalInteger("layer", in: 0...Self.mostLayers)
        parts = try reader.optionalInteger("parts", in: 1...DecoderConfiguration.largestSize)
        let chunks = try reader.required("chunks", "a list", \.array)
        guard chunks.count <= Self.mostChunks else {
            throw reader.problem("there are \(chunks.count) chunks, expected at most \(Self.mostChunks)")
        }
        self.chunks = try chunks.map { chunk in
            let chunk = JSONReader(chunk, name: reader.name)
            let result = NativeManifest.Chunk(
                file: try chunk.string("file"),
                global: try chunk.sizes("global"),
                local: try chunk.sizes("local"),
                size: try chunk.sizes("size")
            )
            guard Files.isPlainName(result.file) else {
                throw reader.problem("the file of a chunk is \(result.file), which is not inside the checkpoint")
            }
            guard [result.global, result.local, result.size].allSatisfy({ $0.count == 2 }) else {
                throw reader.problem("the offset of a chunk is not a pair of row and column")
            }
            return result
        }
    }

    /// The last layer that is believed.
    private static let mostLayers = 1 << 20
    /// Two for each of the most ranks that a matrix is divided over; checking that they fit together takes their square.
    private static let mostChunks = 4096
}

extension JSONReader {
    /// A list of sizes that a tensor may have.
    fileprivate func sizes(_ key: String) throws -> [Int] {
        let sizes = try integers(key)
        guard let count = ElementType.float64.byteCount(ofShape: sizes), count < 1 << 59 else {
            throw problem("\(key) is \(sizes), which no memory can hold")
        }
        return sizes
    }
}
