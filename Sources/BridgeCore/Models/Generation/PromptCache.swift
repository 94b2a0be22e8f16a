import BridgeSupport
import Communication
import TensorRuntime

/// A file with the keys and values of the beginning of prompts, so that later prompts with the same beginning do not compute it.
///
/// A ``Generator`` writes it after the first prompt if it does not exist, and never changes one that exists.
public struct PromptCache: Sendable {
    /// What keys and values depend on besides tokens and images.
    public struct Identity: Sendable, Equatable {
        /// A digest of configuration and weights.
        public var model: String
        /// The type that is computed in.
        public var elementType: String
        /// A digest of the adapter, or `none`.
        public var adapter: String
        /// The quantization of the weights while they are read, or `none`.
        public var quantization: String

        /// What a model in memory is.
        ///
        /// Of each matrix a few rows are read, so that weights in a mapped file are not read from the disk.
        ///
        /// - Parameters:
        ///   - model: The model.
        ///   - configuration: Its configuration, as a text.
        ///   - adapter: What identifies the adapter; nil for none.
        ///   - quantization: What identifies the quantization; nil for none.
        public init(of model: any CausalModel, configuration: String, adapter: String?, quantization: String?) {
            self.model = ContentFingerprint.of { add in
                Array(configuration.utf8).withUnsafeBytes(add)
                for parameter in model.parameters { Self.sample(parameter, add) }
            }
            elementType = model.decoder.embedding.tensor.elementType.rawValue
            self.adapter = adapter ?? "none"
            self.quantization = quantization ?? "none"
        }

        init(model: String, elementType: String, adapter: String, quantization: String) {
            (self.model, self.elementType, self.adapter, self.quantization) = (
                model, elementType, adapter, quantization
            )
        }

        private static func sample(_ parameter: Parameter, _ add: (UnsafeRawBufferPointer) -> Void) {
            let tensor = parameter.tensor.detached
            Array("\(parameter.name) \(tensor.shape)".utf8).withUnsafeBytes(add)
            guard tensor.count > 0, let height = tensor.shape.first else { return }
            switch tensor.rank {
            case 1: tensor.floats().withUnsafeBytes(add)
            case 2: tensor.rows([0, height / 2, height - 1].map(Int32.init)).floats().withUnsafeBytes(add)
            default: tensor.narrowed(0, to: height / 2..<height / 2 + 1).floats().withUnsafeBytes(add)
            }
        }
    }

    /// The file.
    public var path: String
    /// What it is valid for.
    public var identity: Identity
    /// Whether the file has to exist.
    public var isReadOnly: Bool
    /// Called before the file is written; nil for nothing to do.
    public var willWrite: (@Sendable () -> Void)?

    /// A prompt cache.
    public init(path: String, identity: Identity, isReadOnly: Bool = false) {
        (self.path, self.identity, self.isReadOnly) = (path, identity, isReadOnly)
    }

    /// The file, open; nil when it has to be written.
    ///
    /// - Throws: `BridgeError` for a file that is missing, damaged or valid for something else, and for a model that is divided over
    ///   ranks.
    func opened(for model: any CausalModel) throws -> PromptCacheFile? {
        guard model.decoder.parallelism.groups.mp.size == 1 else {
            throw BridgeError(
                .badLayout,
                "a prompt cache has all layers and heads, and each rank has only some of them; use one rank, or no prompt cache"
            )
        }
        guard Files.exists(path) else {
            guard isReadOnly else { return nil }
            throw BridgeError(
                .fileSystem,
                "the prompt cache \(path) does not exist and is only read; write it first, or let it be written"
            )
        }
        let file = try PromptCacheFile(path: path)
        try file.check(identity)
        return file
    }
}
