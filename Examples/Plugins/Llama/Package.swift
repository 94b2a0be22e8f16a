// swift-tools-version: 6.1
import PackageDescription

// The sources of Bridge. Plugin and program have to be built from the same sources with the same Swift.
let bridge = Context.environment["BRIDGE_SOURCE"] ?? "../../.."
let core: Target.Dependency = .product(name: "BridgeCore", package: "BridgeCore")

let package = Package(
    name: "Llama",
    products: [.library(name: "LlamaPlugin", type: .dynamic, targets: ["Llama"])],
    dependencies: [.package(path: "\(bridge)/Sources/BridgeCore")],
    targets: [
        .target(name: "Llama", dependencies: [core]),
        .testTarget(name: "LlamaTests", dependencies: ["Llama", core]),
    ],
    swiftLanguageModes: [.v6]
)
