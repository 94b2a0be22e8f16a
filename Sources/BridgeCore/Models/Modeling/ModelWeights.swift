import BridgeSupport
public import NativeKernels
public import TensorRuntime

/// The weights of a model in memory, found by Megatron-Core's names.
///
/// A fused parameter, such as `linear_qkv.weight`, is given as its separate matrices: a Hugging Face file has them in
/// the needed form, so they can be mapped.
public final class ModelWeights {
    /// The engine of the model.
    public let engine: any TensorEngine
    /// How the model is divided over ranks.
    public let parallelism: ModelParallelism
    /// The floating-point type.
    public let elementType: ElementType

    /// The native kernels of the loaded plugins.
    public let kernels: NativeKernels

    /// Whether the output layer is the embedding.
    let isTied: Bool

    private let pieces: [String: [Parameter]]
    private var taken: Set<String> = []

    package init(
        pieces: [String: [Parameter]],
        elementType: ElementType,
        engine: any TensorEngine,
        isTied: Bool,
        parallelism: ModelParallelism,
        kernels: NativeKernels
    ) {
        self.kernels = kernels
        self.pieces = pieces
        self.elementType = elementType
        self.engine = engine
        self.isTied = isTied
        self.parallelism = parallelism
    }

    /// Whether this stage of a pipeline embeds tokens and images: only then the model has a vision tower.
    public var preProcess: Bool { parallelism.preProcess }

    /// Whether there is a parameter of this name; a tied output layer has none.
    public func holds(_ name: String) -> Bool { pieces[name] != nil }

    /// The matrices of a fused parameter, in the order of its mapping.
    ///
    /// - Throws: `BridgeError` when the family's table has no such parameter.
    public func fused(_ name: String) throws -> [Parameter] {
        guard let found = pieces[name] else {
            throw BridgeError(
                .badPlugin,
                "the model reads \(name), which is not in its parameter table; add it to the table of the plugin. If the family "
                    + "has no such parameter, its layers are not those of the shared decoder, and it can only be converted: "
                    + "give the reason in 'static let conversionOnly: String?' of the provider"
            )
        }
        taken.insert(name)
        return found
    }

    /// A parameter that is not fused.
    ///
    /// - Throws: `BridgeError` when the family's table has no such parameter, or has it fused.
    public subscript(_ name: String) -> Parameter {
        get throws {
            let found = try fused(name)
            guard found.count == 1 else {
                throw BridgeError(.badPlugin, "the model reads \(name) as one matrix, its table has \(found.count)")
            }
            return found[0]
        }
    }

    /// A linear layer `name.weight`, with `name.bias` where there is one.
    public func linear(_ name: String) throws -> Linear {
        Linear(
            weight: try self["\(name).weight"],
            bias: holds("\(name).bias") ? try self["\(name).bias"] : nil
        )
    }

    /// Checks that a model has read all parameters: what it does not read, it does not compute with.
    ///
    /// - Throws: `BridgeError` with the parameters that it has not read.
    package func checkAllRead() throws {
        let unread = pieces.keys.filter { !taken.contains($0) }.sorted()
        guard !unread.isEmpty else { return }
        throw BridgeError(
            .badPlugin,
            "the model does not read \(ByteFormat.counted(unread.count, "parameter")) of the family's parameter table, so that it would "
                + "compute something else and training would lose them; read them in the model, or remove their lines from the table. If "
                + "the shared decoder has no such parameter, as the bias of a norm, the family can only be converted: give the reason in "
                + "'static let conversionOnly: String?' of the provider",
            names: unread
        )
    }
}
