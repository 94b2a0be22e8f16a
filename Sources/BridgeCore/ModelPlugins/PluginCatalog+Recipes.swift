import BridgeSupport
public import Recipes

extension PluginCatalog {
    /// All recommended recipes, by name.
    public var recipes: [RecipeTemplate] { bridges.flatMap(\.recipes).sorted { $0.name < $1.name } }

    /// The family that recommends recipes for a model of the hub; nil where none does.
    public func family(ofRecipesFor hfPath: String) -> (any ModelBridge)? {
        bridges.first { bridge in bridge.recipes.contains { $0.standard.hfPath == hfPath } }
    }

    /// Whether one plugin contains both families, as for a multimodal model and its text-only form.
    public func isOnePlugin(_ one: any ModelBridge, _ other: any ModelBridge) -> Bool {
        plugins.contains { plugin in
            let names = plugin.plugin.bridges.map(\.name)
            return names.contains(one.name) && names.contains(other.name)
        }
    }

    /// The recommended recipe with a name or an alias.
    ///
    /// - Throws: `BridgeError` with code `badArgument` and the nearest name.
    public func recipe(named name: String) throws -> RecipeTemplate {
        let all = recipes
        if let found = all.first(where: { $0.name == name || $0.aliases.contains(name) }) { return found }
        guard !all.isEmpty else {
            throw BridgeError(
                .badArgument,
                "there is no recipe \(RecipeField.shortened(name)), because no loaded plugin has one"
            )
        }
        let near = NearestName.first(of: name, among: all.flatMap { [$0.name] + $0.aliases }, limit: 8)
        let hint = near.map { ", did you mean \($0)?" } ?? "; 'bridge recipes list' shows all"
        throw BridgeError(.badArgument, "there is no recipe \(RecipeField.shortened(name))\(hint)")
    }
}
