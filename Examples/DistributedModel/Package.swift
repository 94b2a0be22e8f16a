// swift-tools-version: 6.1
import PackageDescription

// Depends on the core for its interface and on the main package for the plugins, which are then built next to the core's
// library, where they are found.
let package = Package(
    name: "DistributedModel",
    dependencies: [.package(name: "bridge", path: "../.."), .package(path: "../../Sources/BridgeCore")],
    targets: [
        .executableTarget(
            name: "distributed-model",
            dependencies: [
                .product(name: "BridgeCore", package: "BridgeCore"),
                .product(name: "MistralPlugin", package: "bridge"),
                .product(name: "Ministral3Plugin", package: "bridge"),
                .product(name: "Gemma3VLPlugin", package: "bridge"),
            ],
            path: "Sources"
        )
    ],
    swiftLanguageModes: [.v6]
)
