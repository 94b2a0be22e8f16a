// swift-tools-version: 6.1
import PackageDescription

// The sources of Bridge. Plugin and program have to be built from the same sources with the same Swift.
let bridge = Context.environment["BRIDGE_SOURCE"] ?? "../../.."
let core: Target.Dependency = .product(name: "BridgeCore", package: "BridgeCore")

let package = Package(
    name: "Qwen",
    products: [.library(name: "QwenPlugin", type: .dynamic, targets: ["Qwen"])],
    dependencies: [.package(path: "\(bridge)/Sources/BridgeCore")],
    targets: [
        .target(name: "Qwen", dependencies: [core]),
        .testTarget(name: "QwenTests", dependencies: ["Qwen", core]),
    ],
    swiftLanguageModes: [.v6]
)
