import BridgeCore
import JSONTree

enum Gemma3VLToy {
    static let recipe = ToyRecipe(
        tiny: [:],
        realSizes: [],
        layerPaths: [],
        hiddenPath: "",
        vocabularyPath: "",
        sideFiles: { _ in [] }
    )
}
