import BridgeSupport
public import ModelSchema

/// How llama.cpp has a model: the keys of its settings and the names of its tensors.
public struct GGUFModel: Sendable {
    /// llama.cpp's name of the architecture.
    public var architecture: String
    /// What becomes of every field of the provider.
    public var settings: [GGUFSetting]
    /// The tensors of the language model.
    public var tensors: [GGUFTensor]
    /// The tower and the projector, which are in a file of their own; nil for a model of text.
    public var projector: GGUFProjector?

    /// A model.
    public init(
        architecture: String,
        settings: [GGUFSetting],
        tensors: [GGUFTensor],
        projector: GGUFProjector? = nil
    ) {
        self.architecture = architecture
        self.settings = settings
        self.tensors = tensors
        self.projector = projector
    }

    /// The keys of a file's metadata, in order.
    package typealias Keys = [(key: String, value: GGUFValue)]

    /// The keys of the model and of its projector, if every field has its place.
    ///
    /// - Parameters:
    ///   - fields: Megatron-Core's names of the provider's fields.
    ///   - plugin: The plugin's name.
    /// - Returns: The keys of the files.
    /// - Throws: `BridgeError` with all settings that cannot be expressed, or with the fields that the plugin forgets.
    package func keys(for fields: [String], plugin: String) throws -> (model: Keys, projector: Keys) {
        let others = projector?.settings ?? []
        let known = Set((settings + others).flatMap(\.fields))
        let forgotten = fields.filter { !known.contains($0) }
        guard forgotten.isEmpty else {
            throw BridgeError(
                .badPlugin,
                "the plugin \(plugin) does not specify what becomes of \(ByteFormat.counted(forgotten.count, "setting")) in a GGUF "
                    + "file; it has to list them in GGUFModel.settings",
                names: forgotten
            )
        }
        let problems = (settings + others).compactMap(\.problem)
        guard problems.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "the model has settings that llama.cpp cannot compute with, so nothing was written",
                names: problems
            )
        }
        return (settings.flatMap(\.keys), others.flatMap(\.keys))
    }
}

/// The vision tower of a model and its projector.
public struct GGUFProjector: Sendable {
    /// What becomes of the fields of the tower, and keys besides.
    public var settings: [GGUFSetting]
    /// The tensors.
    public var tensors: [GGUFTensor]
    /// Single rows of matrices that the file has too: their names, the rows, and the tensors.
    public var rows: [(name: String, row: Int, tensor: String)]

    /// A tower.
    public init(
        settings: [GGUFSetting],
        tensors: [GGUFTensor],
        rows: [(name: String, row: Int, tensor: String)] = []
    ) {
        self.settings = settings
        self.tensors = tensors
        self.rows = rows
    }
}

/// What becomes of a field of the provider in a GGUF file: keys, nothing because it has no effect, or a refusal.
public struct GGUFSetting: Sendable {
    /// Megatron-Core's names of the fields; empty for keys that have none.
    public let fields: [String]
    /// The keys with their values.
    public let keys: [(key: String, value: GGUFValue)]
    /// Why the value cannot be expressed; nil where it can.
    public let problem: String?

    private init(_ fields: [String], _ keys: [(key: String, value: GGUFValue)] = [], problem: String? = nil) {
        (self.fields, self.keys, self.problem) = (fields, keys, problem)
    }

    /// Keys of the values of fields.
    public static func keys(_ fields: String..., to keys: [(key: String, value: GGUFValue)]) -> GGUFSetting {
        GGUFSetting(fields, keys)
    }

    /// The key of a field.
    public static func key(_ field: String, _ key: String, _ value: GGUFValue) -> GGUFSetting {
        GGUFSetting([field], [(key, value)])
    }

    /// A key that belongs to no field.
    public static func constant(_ key: String, _ value: GGUFValue) -> GGUFSetting { GGUFSetting([], [(key, value)]) }

    /// Fields that need no key, with the reason.
    public static func noEffect(_ fields: String..., because reason: String) -> GGUFSetting { GGUFSetting(fields) }

    /// A field of which llama.cpp has one value only.
    ///
    /// - Parameters:
    ///   - field: The field.
    ///   - found: Its value.
    ///   - isSupported: Whether that is the one.
    ///   - expected: What is supported, for the message.
    /// - Returns: The setting.
    public static func only(_ field: String, _ found: String, _ isSupported: Bool, expected: String) -> GGUFSetting {
        GGUFSetting([field], problem: isSupported ? nil : "\(field) is \(found); supported: \(expected)")
    }
}

/// One line of the names of tensors: Hugging Face's and llama.cpp's, with the same wildcards.
public struct GGUFTensor: Sendable {
    /// The precision that a matrix has.
    public enum Precision: Sendable {
        /// That of the file.
        case file
        /// That of the file, and 8 bits in a file of 4: embeddings and output layer.
        case table
        /// float32, and float16 in a file of that type, because llama.cpp convolves with nothing else.
        case convolution
        /// float32.
        case single
        /// float16.
        case half
    }

    /// Hugging Face's name.
    public let huggingFace: NamePattern
    /// llama.cpp's name; nil for a tensor that it does not need.
    public let name: NamePattern?
    /// The width of heads whose halves become neighbouring pairs of rows; nil for rows in their own order.
    public var pairedHeads: Int?
    /// What is added to each element.
    public var offset: Float = 0
    /// The precision; vectors are always float32.
    public var precision = Precision.file

    /// A line.
    public init(
        _ huggingFace: NamePattern,
        _ name: NamePattern,
        pairedHeads: Int? = nil,
        offset: Float = 0,
        precision: Precision = .file
    ) {
        self.huggingFace = huggingFace
        self.name = name
        self.pairedHeads = pairedHeads
        self.offset = offset
        self.precision = precision
    }

    private init(ignored: NamePattern) {
        huggingFace = ignored
        name = nil
    }

    /// Tensors that llama.cpp does not need, with the reason.
    public static func ignored(_ names: NamePattern, because reason: String) -> GGUFTensor {
        GGUFTensor(ignored: names)
    }
}
