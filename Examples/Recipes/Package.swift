// swift-tools-version: 6.1
import PackageDescription

// A recipe script finds the recipes of the plugins that are built with it.
let package = Package(
    name: "Recipes",
    dependencies: [.package(name: "bridge", path: "../.."), .package(path: "../../Sources/BridgeCore")],
    targets: [
        .executableTarget(
            name: "receipts-recipe",
            dependencies: [
                .product(name: "BridgeCore", package: "BridgeCore"),
                .product(name: "Ministral3Plugin", package: "bridge"),
            ],
            path: "Sources/ReceiptsRecipe"
        ),
        .executableTarget(
            name: "train-toy",
            dependencies: [
                .product(name: "BridgeCore", package: "BridgeCore"),
                .product(name: "Ministral3Plugin", package: "bridge"),
                .product(name: "Trainer", package: "bridge"),
            ],
            path: "Sources/TrainToy"
        ),
    ],
    swiftLanguageModes: [.v6]
)
