// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that the main one never sees libFuzzer. `scripts/fuzz` builds and runs it: the flags that
// instrument the readers are given there, because they are for the core as well. The product is a library, because
// SwiftPM gives an executable a main of its own, and the main here has to be libFuzzer's.

let package = Package(
    name: "fuzz",
    products: [.library(name: "FuzzTargets", type: .dynamic, targets: ["FuzzTargets"])],
    dependencies: [.package(path: "../Sources/BridgeCore")],
    targets: [
        // Links to the directories of the main package.
        .target(
            name: "CCompression",
            linkerSettings: [.linkedLibrary("snappy"), .linkedLibrary("z"), .linkedLibrary("zstd")]
        ),
        .target(
            name: "Parquet",
            dependencies: [.product(name: "BridgeCore", package: "BridgeCore"), "CCompression"]
        ),
        .target(
            name: "FuzzTargets",
            dependencies: [.product(name: "BridgeCore", package: "BridgeCore"), "Parquet"],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
