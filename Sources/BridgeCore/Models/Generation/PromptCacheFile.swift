import BridgeSupport
import JSONTree
import ModelSchema
import TensorFiles
import TensorRuntime

/// The format of a ``PromptCache``: safetensors with the tokens, and the keys and values of every layer for all of them.
///
/// Layers with a window have all tokens too: those that the last token sees are not the ones that are needed after a shorter beginning.
struct PromptCacheFile {
    /// The version of the format, under ``versionKey`` in the metadata.
    static let version = "1"
    static let versionKey = "bridge_prompt_cache"

    /// The path.
    let path: String
    /// What it is valid for.
    let identity: PromptCache.Identity
    /// The tokens.
    let tokens: [Int32]
    /// The images of the tokens.
    let images: [SeenImage]

    private let stored: [String: StoredTensor]
    private let checksums: JSON

    /// Writes a file atomically.
    ///
    /// - Parameters:
    ///   - rows: Keys and values of each layer, [1, S, G, K].
    ///   - tokens: The tokens.
    ///   - images: The images of the tokens.
    ///   - identity: What it is valid for.
    ///   - path: The file.
    ///   - engine: The engine of the model.
    /// - Throws: `BridgeError` when it cannot be written.
    static func write(
        _ rows: [(keys: Tensor, values: Tensor)],
        tokens: [Int32],
        images: [SeenImage],
        as identity: PromptCache.Identity,
        to path: String,
        on engine: any TensorEngine
    ) throws {
        var tensors = [(name: "tokens", tensor: Tensor(indices: tokens, on: engine))]
        for (layer, (keys, values)) in rows.enumerated() {
            tensors += [(Self.name(layer, "key"), keys.at(0)), (Self.name(layer, "value"), values.at(0))]
        }
        var checksums = JSONObject()
        for (name, tensor) in tensors { checksums[name] = .string(Self.checksum(tensor.contiguous())) }
        let places = images.map { image -> JSON in
            [
                "digest": .string(image.digest), "first": JSON(image.tokens.lowerBound),
                "end": JSON(image.tokens.upperBound),
            ]
        }
        let metadata = JSONObject([
            (versionKey, .string(version)), ("model", .string(identity.model)),
            ("dtype", .string(identity.elementType)), ("adapter", .string(identity.adapter)),
            ("quantization", .string(identity.quantization)), ("images", Self.text(.array(places))),
            ("checksums", Self.text(.object(checksums))),
        ])
        try SafetensorsFile.write(tensors, to: path, metadata: metadata)
    }

    /// Opens a file.
    ///
    /// - Throws: `BridgeError` for a file that cannot be read, is damaged or is not a prompt cache.
    init(path: String) throws {
        let file: SafetensorsFile
        do { file = try SafetensorsFile(path: path) } catch let error as BridgeError where error.code == .corruptInput {
            throw BridgeError(.corruptInput, "\(error.message); \(Self.advice)", cause: error)
        }
        let metadata = file.header.metadata
        guard let version = metadata[Self.versionKey]?.string else {
            throw BridgeError(
                .badArgument,
                "\(path) is not a prompt cache: its metadata has no \(Self.versionKey); give another file"
            )
        }
        guard version == Self.version else {
            throw BridgeError(
                .badArgument,
                "\(path) is a prompt cache of version \(version.prefix(20)), expected version \(Self.version); \(Self.advice)"
            )
        }
        func text(_ key: String) throws -> String {
            guard let text = metadata[key]?.string else { throw Self.damaged(path, "its metadata has no \(key)") }
            return text
        }
        func json(_ key: String) throws -> JSON {
            guard let json = try? JSON(parsing: Array(text(key).utf8)) else {
                throw Self.damaged(path, "\(key) in its metadata is not valid JSON")
            }
            return json
        }
        self.path = path
        identity = PromptCache.Identity(
            model: try text("model"),
            elementType: try text("dtype"),
            adapter: try text("adapter"),
            quantization: try text("quantization")
        )
        stored = Dictionary(file.tensors.map { ($0.name, $0) }) { first, _ in first }
        checksums = try json("checksums")
        guard let list = stored["tokens"], list.elementType == .int32, list.shape.count == 1, list.height > 0 else {
            throw Self.damaged(path, "it has no int32 vector of tokens")
        }
        let bytes = try list.storage.bytes(list.offset..<list.offset + list.byteCount)
        guard bytes.withUnsafeBytes({ BlockChecksum.digest($0).description }) == checksums["tokens"]?.string else {
            throw Self.damaged(path, "the checksum of its tokens is another one")
        }
        tokens = bytes.withUnsafeBytes { buffer in
            stride(from: 0, to: buffer.count, by: 4).map {
                Int32(littleEndian: buffer.loadUnaligned(fromByteOffset: $0, as: Int32.self))
            }
        }
        images = try Self.images(try json("images"), count: tokens.count, path)
    }

    private static func images(_ json: JSON, count: Int, _ path: String) throws -> [SeenImage] {
        var end = 0
        return try (json.array ?? []).map { image in
            guard let digest = image["digest"]?.string, let first = image["first"]?.integer,
                let last = image["end"]?.integer,
                first >= end, last > first, last <= count
            else { throw damaged(path, "its images are not in the order of its \(count) tokens") }
            end = last
            return SeenImage(digest: digest, tokens: first..<last)
        }
    }

    /// Checks that the file is valid for a model.
    ///
    /// - Throws: `BridgeError` with what differs.
    func check(_ expected: PromptCache.Identity) throws {
        let parts: [(what: String, KeyPath<PromptCache.Identity, String>)] = [
            ("dtype", \.elementType), ("quantization", \.quantization), ("adapter", \.adapter), ("model", \.model),
        ]
        for (what, part) in parts where identity[keyPath: part] != expected[keyPath: part] {
            throw BridgeError(
                .badArgument,
                "the prompt cache \(path) is for the \(what) \(identity[keyPath: part].prefix(100)), but this run has the "
                    + "\(what) \(expected[keyPath: part]); give another file, or remove it so that it is written again"
            )
        }
    }

    /// How many tokens at the beginning of a prompt are those of the file, and may be continued.
    ///
    /// The last token of the prompt is computed in any case, since its logits are needed. No image is divided.
    ///
    /// - Parameters:
    ///   - prompt: The prompt.
    ///   - model: The model.
    /// - Returns: The number of tokens.
    func commonCount(with prompt: Prompt, of model: any CausalModel) -> Int {
        let most = min(tokens.count, prompt.tokens.count - 1)
        var count = 0
        while count < most, tokens[count] == prompt.tokens[count] { count += 1 }
        for (index, image) in images.enumerated() {
            let isSame = prompt.digests.indices.contains(index) && prompt.digests[index] == image.digest
            guard isSame, image.tokens.upperBound <= count else {
                count = min(count, image.tokens.lowerBound)
                break
            }
        }
        guard model.imagesAttendBothWays, let id = model.imageTokenID.map(Int32.init) else { return count }
        // Image tokens side by side see each other, also those of two images.
        func isImage(_ tokens: [Int32], _ index: Int) -> Bool { tokens.indices.contains(index) && tokens[index] == id }
        while count > 0, tokens[count - 1] == id, isImage(tokens, count) || isImage(prompt.tokens, count) {
            while count > 0, tokens[count - 1] == id { count -= 1 }
        }
        return count
    }

    /// The keys and values of every layer.
    ///
    /// - Throws: `BridgeError` for tensors that are missing, of another shape or damaged.
    func rows(for model: any CausalModel) throws -> [(keys: Tensor, values: Tensor)] {
        try model.decoder.layers.indices.map { layer in
            (try read(Self.name(layer, "key"), for: model), try read(Self.name(layer, "value"), for: model))
        }
    }

    private func read(_ name: String, for model: any CausalModel) throws -> Tensor {
        let configuration = model.decoder.configuration
        let shape = [tokens.count, configuration.numQueryGroups, configuration.kvChannels]
        guard let tensor = stored[name] else { throw Self.damaged(path, "it has no \(name)") }
        guard tensor.shape == shape, tensor.elementType == model.decoder.embedding.tensor.elementType else {
            throw Self.damaged(
                path,
                "\(name) is \(tensor.elementType.rawValue) \(tensor.shape), expected \(identity.elementType) \(shape)"
            )
        }
        let rows = Tensor(uninitialized: shape, tensor.elementType, on: model.engine)
        try model.engine.upload(rows) { try tensor.storage.read(at: tensor.offset, into: $0) }
        guard Self.checksum(rows) == checksums[name]?.string else {
            throw Self.damaged(path, "the checksum of \(name) is another one")
        }
        return rows.reshaped([1] + shape)
    }

    private static func name(_ layer: Int, _ part: String) -> String { "layers.\(layer).\(part)" }

    private static func text(_ json: JSON) -> JSON {
        .string(String(decoding: json.text(pretty: false), as: UTF8.self))
    }

    private static func checksum(_ tensor: Tensor) -> String {
        var text = ""
        tensor.engine.download(tensor) { text = BlockChecksum.digest($0).description }
        return text
    }

    private static let advice = "remove the file, so that it is written again, or give another one"

    private static func damaged(_ path: String, _ what: String) -> BridgeError {
        BridgeError(.corruptInput, "the prompt cache \(path) is damaged: \(what); \(advice)")
    }
}
