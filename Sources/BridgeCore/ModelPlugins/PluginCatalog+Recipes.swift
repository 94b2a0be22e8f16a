import BridgeSupport
public import Recipes

extension PluginCatalog {
    /// All recommended recipes, by name.
    public var recipes: [RecipeTemplate] { bridges.flatMap(\.recipes).sorted { $0.name < $1.name } }

    /// The family that recommends recipes for a model of the hub; nil where none does.
    public func family(ofRecipesFor hfPath: String) -> (any ModelBridge)? {
        bridges.first { bridge in bridge.recipes.contains { $0.recipe().hfPath == hfPath } }
    }

    /// Whether one plugin brings both families, as it does for a multimodal model and its text-only form.
    public func isOnePlugin(_ one: any ModelBridge, _ other: any ModelBridge) -> Bool {
        plugins.contains { plugin in
            let names = plugin.plugin.bridges.map(\.name)
            return names.contains(one.name) && names.contains(other.name)
        }
    }

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
