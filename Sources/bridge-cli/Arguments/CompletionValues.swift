import ArgumentParser
import BridgeCore

/// The values that shells offer for options whose types do not list them.
enum CompletionValues {
    /// Schemes of adapters.
    static let schemes = CompletionKind.list(Recipe.PEFTSection.Scheme.allCases.map(\.rawValue).filter { $0 != "none" })

    /// Types of data sets of a recipe.
    static let datasetTypes = CompletionKind.list(Recipe.DatasetSection.Kind.allCases.map(\.rawValue))

    /// Names of recipes, which the plugins have, and recipe files of the current directory.
    static let recipes = CompletionKind.custom { _, _, _ in
        let files = (try? Files.list(".")) ?? []
        let isRecipe: (String) -> Bool = { name in [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) } }
        return (catalog?.recipes.map(\.name) ?? []) + files.filter(isRecipe).sorted()
    }

    /// Names of families, which the plugins have.
    static let families = CompletionKind.custom { _, _, _ in catalog?.bridges.map(\.name).sorted() ?? [] }

    private static var catalog: PluginCatalog? {
        try? PluginCatalog(files: [], directories: PluginOptions.directories, triesFirst: true)
    }
}
