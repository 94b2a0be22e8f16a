import BridgeCore
import JSONTree

enum MistralToy {
    static let recipe = ToyRecipe(
        tiny: [:],
        realSizes: [],
        layerPaths: [],
        hiddenPath: "",
        vocabularyPath: "",
        sideFiles: { _ in [] }
    )
}
