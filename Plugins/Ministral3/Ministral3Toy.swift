import BridgeCore
import JSONTree

enum Ministral3Toy {
    static let recipe = ToyRecipe(
        tiny: [:],
        realSizes: [],
        layerPaths: [],
        hiddenPath: "",
        vocabularyPath: "",
        sideFiles: { _ in [] }
    )
}
