package import BridgeSupport
import Communication
import Glibc
public import Models
public import Recipes
public import TensorRuntime

/// The adapters of a model: where they are, and their parameters.
///
/// Names are those of Megatron Bridge (megatron/bridge/peft, 0.3): `<module>.adapter.linear_in.weight` is A,
/// `<module>.adapter.linear_out.weight` B, `<module>.adapter.weight_magnitude` DoRA's magnitude; adapters of the parts of a
/// fused module are `<module>.adapter.adapter_q` and so on.
public final class AdapterSet: Sendable {
    /// The settings of the adapters.
    public let configuration: Recipe.PEFTSection
    /// A module with adapters.
    public struct Module: Sendable {
        /// The module's name.
        public let name: String
        /// Its layers; those that are not targets have no adapter.
        public let layers: [Linear]
    }
    /// The modules, in the order of the model.
    public let modules: [Module]
    /// Parameters of the model itself that belong to the adapters: those that were trained in full with them.
    public let wholeParameters: [Parameter]
    /// Notices about the loaded adapters for the user.
    public let notes: [String]

    /// Adapters that are on their layers already.
    init(
        _ configuration: Recipe.PEFTSection,
        modules: [AdaptedModule],
        wholeParameters: [Parameter] = [],
        notes: [String] = []
    ) {
        self.configuration = configuration
        self.modules = modules.map { Module(name: $0.name, layers: $0.layers) }
        self.wholeParameters = wholeParameters
        self.notes = notes
    }

    /// The ranks of the adapters with their starts, each once, in ascending order.
    public var ranks: [Int] {
        Set(modules.flatMap(\.layers).compactMap { $0.adapter?.wholeShape.rank }).sorted()
    }

    /// The same adapters with other notes.
    package func with(notes: [String]) -> AdapterSet { AdapterSet(self, notes: notes) }

    private init(_ other: AdapterSet, notes: [String]) {
        (configuration, modules, wholeParameters) = (other.configuration, other.modules, other.wholeParameters)
        self.notes = notes
    }

    /// The name before the parameters of a layer's own adapter.
    static func canonicalName(of layer: Linear) -> String {
        guard let (module, piece) = AdaptedModule.split(layer.weight.name) else { return layer.weight.name }
        let kind = String(module.split(separator: ".").last ?? "")
        guard let parts = AdaptedModule.parts[kind], parts.indices.contains(piece) else { return "\(module).adapter" }
        return "\(module).adapter.adapter_\(parts[piece].split(separator: "_").last ?? "")"
    }

    /// Adds the adapters of a recipe to a model.
    ///
    /// - Parameters:
    ///   - recipe: The recipe.
    ///   - model: The model.
    ///   - isShapeOnly: Whether parameters are only counted: they get no values, and the weights of the model are not read.
    ///   - isRestored: Whether a checkpoint has the values, so that no weight is decomposed.
    /// - Returns: The adapters; nil for full training.
    /// - Throws: As ``init(_:on:freezesLanguageModel:seed:isRestored:)``.
    public static func added(
        by recipe: Recipe,
        to model: any CausalModel,
        isShapeOnly: Bool = false,
        isRestored: Bool = false
    ) throws -> AdapterSet? {
        guard recipe.peft.scheme != .none else { return nil }
        return try AdapterSet(
            recipe.peft,
            on: model,
            freezesLanguageModel: recipe.model.freezeLanguageModel,
            seed: isShapeOnly ? nil : recipe.rng.seed,
            isRestored: isRestored
        )
    }

    /// Adds new adapters to the layers of a model, whose own parameters are frozen.
    ///
    /// A is drawn from Xavier's normal distribution, B is zero, so that the model computes what it did before; magnitudes
    /// are the lengths of the weights' rows. With ``Recipe/PEFTSection/initLoRAWeights`` A and B are parts of the weights.
    ///
    /// - Parameters:
    ///   - configuration: Which layers, how large.
    ///   - model: The model.
    ///   - freezesLanguageModel: Whether the language model gets none.
    ///   - seed: The seed of the random values; nil for parameters without values.
    ///   - isRestored: Whether a checkpoint has the values, so that no weight is decomposed.
    /// - Throws: `BridgeError` when no layer is a target, a name of the configuration is that of no module, or a weight cannot
    ///   be decomposed.
    public init(
        _ configuration: Recipe.PEFTSection,
        on model: any CausalModel,
        freezesLanguageModel: Bool = false,
        seed: UInt64?,
        isRestored: Bool = false
    ) throws {
        // A tied output layer is a module if it has its own parameter.
        let output = ["output_layer", model.decoder.outputModule]
        if configuration.targetModules.contains(where: output.contains),
            !freezesLanguageModel
        {
            try Self.checkUntied(configuration, model)
            model.decoder.untie()
        }
        let targets = try AdapterTargets(configuration, in: model)
        let tower = configuration.visionLora ? model.vision?.towerParameters ?? [] : []
        let language = freezesLanguageModel ? [] : model.decoder.parameters
        let candidates = AdaptedModule.all(in: language) + AdaptedModule.all(in: tower)
        // A stage of a pipeline may have none.
        let stages = model.decoder.parallelism.groups.pp
        guard try stages.allReduceSum([Double(candidates.count)])[0] > 0 else {
            throw BridgeError(.badConfiguration, Recipe.frozenLanguageModelProblem)
        }
        let shape = AdapterShape(
            rank: configuration.dim,
            scale: PEFTConfiguration.scale(configuration.alpha, configuration.dim, byRoot: configuration.usesRSLoRA)
        )
        modules = try Self.attach(
            configuration,
            to: candidates,
            seed: seed,
            shape: { _ in shape },
            startsFromWeights: { _ in configuration.initLoRAWeights != .standard },
            where: { targets.layers(of: $0, isTower: $0.isPart(of: tower)) }
        )
        wholeParameters = model.parameters(ofParts: configuration.modulesToSave)
        notes = []
        guard try stages.allReduceSum([Double(modules.count)])[0] > 0 else {
            throw BridgeError(
                .badConfiguration,
                "peft.exclude_modules (\(configuration.excludeModules.joined(separator: ", "))) and the settings peft.finetune_* exclude "
                    + "every module that peft.target_modules (\(configuration.targetModules.joined(separator: ", "))) names; include at "
                    + "least one"
            )
        }
        self.configuration = configuration
        if seed != nil, !isRestored { try takeStarts(model.decoder.parallelism.groups) }
    }

    /// A tied output layer cannot have adapters while the embedding, which is the same parameter, is trained.
    private static func checkUntied(_ configuration: Recipe.PEFTSection, _ model: any CausalModel) throws {
        guard model.decoder.isTied,
            model.parameters(ofParts: configuration.modulesToSave).contains(where: { $0 === model.decoder.embedding })
        else { return }
        throw BridgeError(
            .badConfiguration,
            "peft.target_modules names output_layer, which is tied to the embedding, and peft.modules_to_save trains the "
                + "embedding; choose one"
        )
    }

    /// Adds adapters to the layers whose parameters have the given names; their values, of the given type or of that of
    /// the weights, are set later.
    package init(
        _ configuration: Recipe.PEFTSection,
        on model: any CausalModel,
        named names: Set<String>,
        _ elementType: ElementType?,
        wholeParameters: [Parameter],
        notes: [String],
        shape: (String) throws -> AdapterShape
    ) throws {
        self.wholeParameters = wholeParameters
        self.notes = notes
        let candidates = AdaptedModule.all(in: model.parameters)
        func hasAdapter(_ layer: Linear, of module: AdaptedModule) -> Bool {
            let own = configuration.canonical ? Self.canonicalName(of: layer) : "\(module.name).adapter"
            return names.contains("\(own).linear_in.weight")
        }
        modules = try Self.attach(
            configuration,
            to: candidates,
            seed: 0,
            elementType,
            shape: shape,
            startsFromWeights: { names.contains("\($0).start.linear_in.weight") },
            where: { module in module.layers.map { hasAdapter($0, of: module) } }
        )
        guard !modules.isEmpty || !wholeParameters.isEmpty else {
            throw BridgeError(.corruptInput, "the adapters are those of another model: none of its modules has one")
        }
        self.configuration = configuration
    }

    private static func attach(
        _ configuration: Recipe.PEFTSection,
        to candidates: [AdaptedModule],
        seed: UInt64?,
        _ elementType: ElementType? = nil,
        shape: (String) throws -> AdapterShape,
        startsFromWeights: (String) -> Bool,
        where wanted: (AdaptedModule) -> [Bool]
    ) throws -> [Module] {
        try candidates.compactMap { module in
            let wanted = wanted(module)
            guard wanted.contains(true) else { return nil }
            guard configuration.canonical || !wanted.contains(false) else {
                throw BridgeError(
                    .badConfiguration,
                    "only a part of \(module.name) is a target of the adapters; parts have adapters of their own with "
                        + "peft.canonical=true"
                )
            }
            let stream = seed.map { RandomStream(seed: $0, stream: 0).named(module.name) }
            try attach(configuration, module, wanted, stream, elementType, shape, startsFromWeights)
            return Module(name: module.name, layers: module.layers)
        }
    }

    /// All parameters of the adapters, each once.
    public var parameters: [Parameter] {
        var seen: Set<ObjectIdentifier> = []
        return modules.flatMap(\.layers).compactMap(\.adapter).flatMap(\.parameters).filter {
            seen.insert(ObjectIdentifier($0)).inserted
        }
    }

    /// A model's parameters with the adapters in the weights that have one, of the types that they had.
    ///
    /// - Parameter model: The model of the adapters, which is not changed.
    /// - Returns: The parameters, in the model's order.
    public func merged(into model: any CausalModel) -> [Parameter] { model.parameters.map(merged) }

    /// The same, with cancellation.
    package func merged(into model: any CausalModel, cancellation: Cancellation) throws -> [Parameter] {
        try model.parameters.map { parameter in
            try cancellation.check()
            return merged(parameter)
        }
    }

    private func merged(_ parameter: Parameter) -> Parameter {
        guard let adapter = parameter.linear?.adapter, parameter.linear?.weight === parameter else { return parameter }
        let whole = adapter.merged(into: parameter.tensor)
        return Parameter(parameter.name, whole.cast(to: parameter.tensor.elementType))
    }

    /// The parameters of the adapters that training changes, each once.
    public var trainedParameters: [Parameter] {
        let trained = Set(
            modules.flatMap(\.layers).compactMap(\.adapter).flatMap(\.trainedParameters).map(ObjectIdentifier.init)
        )
        return parameters.filter { trained.contains(ObjectIdentifier($0)) }
    }

    /// Removes the adapters.
    public func detach() { for layer in modules.flatMap(\.layers) { layer.adapter = nil } }

    private static func attach(
        _ configuration: Recipe.PEFTSection,
        _ module: AdaptedModule,
        _ wanted: [Bool],
        _ stream: RandomStream?,
        _ elementType: ElementType?,
        _ shape: (String) throws -> AdapterShape,
        _ startsFromWeights: (String) -> Bool
    ) rethrows {
        let isCanonical = configuration.canonical && module.layers.count > 1
        var shared: LoRADownProjection?
        for (index, layer) in module.layers.enumerated() where wanted[index] {
            let weight = layer.weight.tensor
            let type = elementType ?? weight.elementType
            let name = isCanonical ? canonicalName(of: layer) : "\(module.name).adapter"
            let own = try shape(name)
            let position = AdapterPosition(layer, rank: own.rank)
            let (rank, width) = (own.rank, position.width)
            func absent(_ shape: [Int], _ type: ElementType) -> Tensor {
                Tensor(uninitialized: shape, type, on: weight.engine)
            }
            func zeros(_ shape: [Int]) -> Tensor {
                stream == nil ? absent(shape, type) : .zeros(shape, type, on: weight.engine)
            }
            let isStarted = startsFromWeights(name)
            func initial() -> Tensor {
                guard let stream else { return absent([rank, width], type) }
                let first = isCanonical ? index * rank * width : 0
                let deviation = Float((2 / Double(rank + width)).squareRoot())
                let values = stream.normal(first..<first + rank * width).map { $0 * deviation }
                return Tensor(values, shape: [rank, width], type, on: weight.engine)
            }
            func input() -> LoRADownProjection {
                let whole = initial()
                let matrix = position.input?.part(of: whole) ?? whole
                let parameter = Parameter("\(name).linear_in.weight", matrix, shard: position.input)
                parameter.gradientReduction = position.inputReduction
                return LoRADownProjection(
                    weight: parameter,
                    start: isStarted
                        ? Parameter("\(name).start.linear_in.weight", zeros(matrix.shape), shard: position.input) : nil,
                    dropout: Float(configuration.dropout)
                )
            }
            let low = isCanonical ? input() : shared ?? input()
            shared = low
            let suffix = !isCanonical && module.layers.count > 1 ? "[\(index)]" : ""
            let height = weight.shape[0]
            let adapter = LowRankAdapter(
                input: low,
                output: Parameter(
                    "\(name).linear_out.weight\(suffix)",
                    zeros([height, rank]),
                    shard: position.output
                ),
                start: isStarted
                    ? Parameter(
                        "\(name).start.linear_out.weight\(suffix)",
                        zeros([height, rank]),
                        shard: position.output
                    ) : nil,
                // float32 whatever the type of the weight, so that an untrained adapter changes nothing.
                magnitude: configuration.scheme == .dora
                    ? Parameter(
                        "\(name).weight_magnitude\(suffix)",
                        stream == nil
                            ? absent([height], .float32) : weight.detached.rowLengths(over: position.columnGroup),
                        shard: position.magnitude
                    ) : nil,
                scale: own.scale,
                columnGroup: position.columnGroup
            )
            adapter.output.gradientReduction = position.outputReduction
            adapter.magnitude?.gradientReduction = position.outputReduction
            for parameter in adapter.trainedParameters { parameter.isTrainable = true }
            layer.adapter = adapter
        }
    }
}

extension CausalModel {
    /// The parts with their parameters, and the adapters as a part of their own.
    public func parts(with adapters: AdapterSet?) -> [(name: String, parameters: [Parameter])] {
        parts + (adapters.map { [("adapters", $0.parameters)] } ?? [])
    }
}

extension LowRankAdapter {
    /// The rank and the scale.
    package var shape: AdapterShape { AdapterShape(rank: rank, scale: scale) }

    /// The same of ``matrices``.
    package var wholeShape: AdapterShape {
        AdapterShape(rank: rank + (input.start?.tensor.shape[0] ?? 0), scale: scale)
    }
}
