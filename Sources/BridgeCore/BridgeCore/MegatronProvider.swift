import BridgeSupport
public import Communication
import ModelPlugins
public import Models
import Recipes
public import TensorRuntime

/// A model and how it is divided over ranks, with the fields of Megatron Bridge's providers.
///
/// ```swift
/// let bridge = try AutoBridge.fromHF("models/Mistral-7B-v0.3")
/// var provider = bridge.toMegatronProvider()
/// provider.tensorModelParallelSize = 2
/// let model = try provider.provideDistributedModel(in: world, on: engine)
/// try bridge.loadWeights(into: model)
/// ```
public struct MegatronProvider: Sendable {
    /// The model.
    public let bridge: AutoBridge
    /// The number of ranks that share each matrix.
    public var tensorModelParallelSize = 1
    /// The number of pipeline stages.
    public var pipelineModelParallelSize = 1
    /// The number of virtual stages on each pipeline-parallel rank; nil for one.
    public var virtualPipelineModelParallelSize: Int?
    /// The number of ranks that share each sequence.
    public var contextParallelSize = 1
    /// Whether activations between tensor-parallel layers are divided along the sequence.
    public var sequenceParallel = false

    init(_ bridge: AutoBridge) { self.bridge = bridge }

    /// The groups of this layout; all ranks of the world create them together.
    ///
    /// - Parameter world: The ranks; each multiple of the layout's is one more copy of the model.
    /// - Returns: The groups that this rank is in.
    /// - Throws: `BridgeError` with code `badLayout` when the ranks cannot be divided so.
    public func groups(in world: any RankWorld) throws -> ProcessGroupCollection {
        try ProcessGroupCollection(check(ranks: world.size).validated(), in: world)
    }

    private func check(ranks: Int, dividesData: Bool = true) -> LayoutCheck {
        var recipe = Recipe(name: "")
        recipe.model.tensorModelParallelSize = tensorModelParallelSize
        recipe.model.pipelineModelParallelSize = pipelineModelParallelSize
        recipe.model.virtualPipelineModelParallelSize = virtualPipelineModelParallelSize
        recipe.model.contextParallelSize = contextParallelSize
        recipe.model.sequenceParallel = sequenceParallel
        // There is no batch yet: sizes that every layout divides.
        recipe.train.globalBatchSize = ranks * pipelineModelParallelSize
        recipe.model.seqLength = 2 * contextParallelSize * tensorModelParallelSize
        return bridge.layoutCheck(recipe, ranks: ranks, dividesData: dividesData)
    }

    /// The part of the model that this rank has.
    ///
    /// - Parameter groups: The groups of this layout.
    /// - Returns: Its layers, and its part of each matrix.
    /// - Throws: `BridgeError` with code `badLayout` and everything that does not fit.
    public func parallelism(in groups: ProcessGroupCollection) throws -> ModelParallelism {
        let layout = groups.layout
        // The ranks of one copy of the model are given others of one copy to choose from.
        let dividesData = layout.data * layout.context > 1
        return try check(ranks: max(1, layout.rankCount), dividesData: dividesData).parallelism(groups)
    }

    /// The stage of a pipeline, with uninitialized parameters.
    ///
    /// - Parameters:
    ///   - preProcess: Whether it embeds tokens and images; without, only the language model is created. Nil for the first
    ///     stage alone.
    ///   - postProcess: Whether it has the final norm and the output layer; nil for the last stage alone.
    ///   - vpStage: The virtual stage; nil for all of this rank, which one model has.
    ///   - groups: The groups of this layout.
    ///   - elementType: float32 or bfloat16; nil for bfloat16 if the configuration names it, and float32 otherwise.
    ///   - engine: The engine that computes.
    /// - Returns: The stage, with every part frozen.
    /// - Throws: `BridgeError` for a layout that does not fit the model.
    public func provide(
        preProcess: Bool? = nil,
        postProcess: Bool? = nil,
        vpStage: Int? = nil,
        in groups: ProcessGroupCollection = .single,
        elementType: ElementType? = nil,
        on engine: any TensorEngine
    ) throws -> any CausalModel {
        var parallelism = try parallelism(in: groups)
        if let vpStage { parallelism = try parallelism.virtualStage(vpStage) }
        if let preProcess { parallelism.preProcess = preProcess }
        if let postProcess { parallelism.postProcess = postProcess }
        return try bridge.shapeOnlyModel(
            elementType: elementType ?? (bridge.model.provider.elementType == .bfloat16 ? .bfloat16 : .float32),
            on: engine,
            parallelism: parallelism
        )
    }

    /// This rank's part of the model, with uninitialized parameters, for ``AutoBridge/loadWeights(from:into:)``.
    ///
    /// - Parameters:
    ///   - world: The ranks, all of which call this.
    ///   - elementType: float32 or bfloat16; nil for bfloat16 if the configuration names it, and float32 otherwise.
    ///   - engine: The engine that computes.
    /// - Returns: The part, with every part of it frozen.
    /// - Throws: `BridgeError` for a layout that does not fit the model or the ranks.
    public func provideDistributedModel(
        in world: any RankWorld,
        elementType: ElementType? = nil,
        on engine: any TensorEngine
    ) throws -> any CausalModel {
        try provide(in: groups(in: world), elementType: elementType, on: engine)
    }
}

extension AutoBridge {
    /// The model with a layout of one rank, which its fields change.
    public func toMegatronProvider() -> MegatronProvider { MegatronProvider(self) }

    /// Loads weights into a model, or into the part of it that this rank has.
    ///
    /// - Parameters:
    ///   - path: A Megatron checkpoint of this model; nil for the weights of the Hugging Face directory.
    ///   - model: A model of this bridge.
    /// - Throws: `BridgeError` for tensors that are not accounted for, cannot be read or are damaged.
    public func loadWeights(from path: String? = nil, into model: any CausalModel) throws {
        let loaded = try toModel(
            weights: path,
            elementType: model.decoder.embedding.tensor.elementType,
            on: model.engine,
            parallelism: model.decoder.parallelism
        )
        let values = Dictionary(loaded.parameters.map { ($0.name, $0.tensor) }) { first, _ in first }
        for parameter in model.parameters {
            guard let tensor = values[parameter.name], tensor.shape == parameter.tensor.shape else {
                throw BridgeError(
                    .badArgument,
                    "the model's parameter \(parameter.name) \(parameter.tensor.shape) is not one of \(architecture); load weights "
                        + "with the bridge that the model was made with"
                )
            }
            parameter.replace(with: tensor)
        }
    }
}
