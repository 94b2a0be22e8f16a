// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that the main one never sees libFuzzer. `scripts/fuzz` builds and runs it: the flags that
// instrument the readers are given there, because they are for the core as well. The product is a library, because
// SwiftPM gives an executable a main of its own, and the main here has to be libFuzzer's.

let package = Package(
    name: "fuzz",
    products: [.library(name: "FuzzTargets", type: .dynamic, targets: ["FuzzTargets"])],
    dependencies: [.package(name: "bridge", path: ".."), .package(path: "../Sources/BridgeCore")],
    targets: [
        // The main package compiles these sources too, without `LibFuzzer.swift`, for the test that replays the corpus.
        .target(
            name: "FuzzTargets",
            dependencies: [
                .product(name: "BridgeCore", package: "BridgeCore"), .product(name: "Parquet", package: "bridge"),
            ],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny")]
        ),
    ],
    swiftLanguageModes: [.v6]
)
