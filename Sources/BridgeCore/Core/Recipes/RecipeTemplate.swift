/// A recipe that a family recommends, for each way of training.
public struct RecipeTemplate: Sendable {
    /// What training can make of a family.
    public struct Abilities: Sendable, Equatable {
        /// Whether the model has a vision tower.
        public var readsImages: Bool
        /// Whether its attention can keep samples in one row apart.
        public var packsSequences: Bool

        /// Abilities.
        public init(readsImages: Bool = true, packsSequences: Bool = true) {
            self.readsImages = readsImages
            self.packsSequences = packsSequences
        }
    }

    /// The name, as `bridge train --recipe` takes it.
    public var name: String
    /// What it is for, in one line.
    public var summary: String
    /// What the family can do.
    public var abilities: Abilities

    private let make: @Sendable (Recipe.PEFTSection.Scheme) -> Recipe

    /// A template.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - summary: What it is for.
    ///   - abilities: What the family can do.
    ///   - make: The recipe for an adapter scheme.
    public init(
        name: String,
        summary: String,
        abilities: Abilities = Abilities(),
        make: @escaping @Sendable (Recipe.PEFTSection.Scheme) -> Recipe
    ) {
        self.name = name
        self.summary = summary
        self.abilities = abilities
        self.make = make
    }

    /// The recipe for full training (`none`) or for an adapter scheme.
    public func recipe(peft scheme: Recipe.PEFTSection.Scheme = .none) -> Recipe { make(scheme) }
}

extension Recipe.PEFTSection {
    /// Adapters of a scheme with Megatron Bridge's defaults (0.3): rank 32, alpha 32, for DoRA 64.
    public init(_ scheme: Scheme) {
        self.init()
        self.scheme = scheme
        if scheme == .dora { alpha = 64 }
    }
}

extension PluginCatalog {
    /// All recommended recipes, by name.
    public var recipes: [RecipeTemplate] { bridges.flatMap(\.recipes).sorted { $0.name < $1.name } }

    /// The recommended recipe with a name.
    ///
    /// - Throws: `BridgeError` with code `badArgument` and the nearest name.
    public func recipe(named name: String) throws -> RecipeTemplate {
        let all = recipes
        if let found = all.first(where: { $0.name == name }) { return found }
        guard !all.isEmpty else {
            throw BridgeError(
                .badArgument,
                "there is no recipe \(RecipeField.shortened(name)), because no loaded plugin has one"
            )
        }
        let near = all.map { (RecipeTable.distance($0.name, String(name.prefix(200))), $0.name) }.min { $0 < $1 }
        let hint = near.map { $0.0 <= 8 ? ", did you mean \($0.1)?" : "; 'bridge recipes list' shows all" } ?? ""
        throw BridgeError(.badArgument, "there is no recipe \(RecipeField.shortened(name))\(hint)")
    }
}
