import BridgeSupport

/// A recommended recipe of a family, for the adapter schemes that it supports.
public struct RecipeTemplate: Sendable {
    /// The features of a family that recipes depend on.
    public struct Abilities: Sendable, Equatable {
        /// Whether the model has a vision tower.
        public var readsImages: Bool
        /// Whether its attention supports packed sequences.
        public var packsSequences: Bool

        /// Abilities.
        public init(readsImages: Bool = true, packsSequences: Bool = true) {
            self.readsImages = readsImages
            self.packsSequences = packsSequences
        }
    }

    /// The name, as `bridge train --recipe` takes it.
    public var name: String
    /// Other names of the same recipe.
    public var aliases: [String]
    /// The adapter schemes that it supports, `none` for full training; the first one is the default.
    public var schemes: [Recipe.PEFTSection.Scheme]
    /// The purpose, in one line.
    public var summary: String
    /// The features that the family supports.
    public var abilities: Abilities

    private let make: @Sendable (Recipe.PEFTSection.Scheme) -> Recipe

    /// A template.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - summary: The purpose, in one line.
    ///   - aliases: Other names of the same recipe.
    ///   - schemes: The adapter schemes that it supports, the default first.
    ///   - abilities: The features that the family supports.
    ///   - make: The recipe for an adapter scheme.
    public init(
        name: String,
        summary: String,
        aliases: [String] = [],
        schemes: [Recipe.PEFTSection.Scheme] = Recipe.PEFTSection.Scheme.allCases,
        abilities: Abilities = Abilities(),
        make: @escaping @Sendable (Recipe.PEFTSection.Scheme) -> Recipe
    ) {
        self.name = name
        self.summary = summary
        self.aliases = aliases
        self.schemes = schemes
        self.abilities = abilities
        self.make = make
    }

    /// The recipe with its default adapter scheme.
    public var standard: Recipe { make(schemes.first ?? .none) }

    /// The recipe for full training (`none`) or for an adapter scheme.
    ///
    /// - Parameter scheme: The scheme; nil for the recipe's default.
    /// - Returns: The recipe.
    /// - Throws: `BridgeError` with code `badArgument` for a scheme that the recipe does not support.
    public func recipe(peft scheme: Recipe.PEFTSection.Scheme?) throws -> Recipe {
        guard let scheme else { return standard }
        guard schemes.contains(scheme) else {
            throw BridgeError(
                .badArgument,
                "\(name) does not support the adapter scheme \(scheme.rawValue), expected "
                    + "\(schemes.map(\.rawValue).joined(separator: " or ")); 'bridge recipes list' shows the other recipes"
            )
        }
        return make(scheme)
    }
}

extension Recipe.PEFTSection {
    /// Adapters of a scheme with Megatron Bridge's defaults (0.3): rank 32, alpha 32, for DoRA 64.
    public init(_ scheme: Scheme) {
        self.init()
        self.scheme = scheme
        if scheme == .dora { alpha = 64 }
    }
}

extension Recipe {
    /// The settings that depend on the size of a model.
    public struct Scale: Sendable, Equatable {
        /// The size of the tensor-parallel axis.
        public var tensorSize: Int
        /// The size of the pipeline-parallel axis.
        public var pipelineSize: Int
        /// The number of samples in a step.
        public var globalBatchSize: Int

        /// A scale.
        public init(tensorSize: Int, pipelineSize: Int = 1, globalBatchSize: Int) {
            self.tensorSize = tensorSize
            self.pipelineSize = pipelineSize
            self.globalBatchSize = globalBatchSize
        }
    }

    /// The common part of the recommended recipes of all families.
    ///
    /// - Parameters:
    ///   - name: The run's name.
    ///   - hfPath: The hub id of the model.
    ///   - scheme: The adapters; `.none` for full training.
    ///   - full: The scale of full training.
    ///   - adapters: The scale of training adapters.
    init(name: String, hfPath: String, peft scheme: PEFTSection.Scheme, full: Scale, adapters: Scale) {
        self.init(name: name, hfPath: hfPath)
        let isFull = scheme == .none
        let scale = isFull ? full : adapters
        peft = PEFTSection(scheme)
        model.tensorModelParallelSize = scale.tensorSize
        model.pipelineModelParallelSize = scale.pipelineSize
        train.globalBatchSize = scale.globalBatchSize
        dataset.datasetType = .hf
        optimizer.lr = isFull ? 5e-6 : 1e-4
        // Megatron Bridge's optimizer has 0.1, but its scheduler sets 0.033 from the first step. Here the scheduler sets
        // nothing, so that a changed optimizer.weight_decay has an effect.
        optimizer.weightDecay = 0.033
    }
}
