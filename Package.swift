// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = ["ExistentialAny", "InternalImportsByDefault", "MemberImportVisibility"].map {
    .enableUpcomingFeature($0)
}

// Tests are not optimised in a release build either: they would take longer to compile than to run.
let tests: [SwiftSetting] = strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))]

let core: Target.Dependency = .product(name: "BridgeCore", package: "BridgeCore")

// The model families. Each is one directory under `Plugins/` and one shared library, loaded with dlopen at run time.
let families = ["Mistral", "Ministral3", "Gemma3VL"]

// Plugins as others make them, each also a package of its own. No program loads their libraries by itself: the names do not
// end in `Plugin`.
let examples = ["Llama", "Qwen"]

let package = Package(
    name: "bridge",
    products: [.executable(name: "bridge", targets: ["bridge"])]
        + families.map { .library(name: "\($0)Plugin", type: .dynamic, targets: [$0]) }
        + examples.map { .library(name: "\($0)Example", type: .dynamic, targets: [$0]) }
        + [
            .library(name: "BridgeFetch", type: .dynamic, targets: ["BridgeFetch"]),
            .library(name: "BridgeMPI", type: .dynamic, targets: ["BridgeMPI"]),
            .library(name: "Trainer", targets: ["Trainer"]),
            .library(name: "Parquet", targets: ["Parquet"]),
            // Loaded before the program by tests that make its system calls fail.
            .library(name: "FaultInjection", type: .dynamic, targets: ["FaultInjection"]),
            // Loaded before tests and the program, which then run the kernels for AMX on a processor without it.
            .library(name: "AMXEmulation", type: .dynamic, targets: ["AMXEmulation"]),
        ],
    dependencies: [
        .package(path: "Sources/BridgeCore"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: families.map {
        .target(name: $0, dependencies: [core], path: "Plugins/\($0)", swiftSettings: strict)
    }
        + examples.map {
            .target(name: $0, dependencies: [core], path: "Examples/Plugins/\($0)/Sources/\($0)", swiftSettings: strict)
        } + [
            .executableTarget(
                name: "bridge",
                dependencies: [
                    core, "Trainer", "Datasets", "Parquet", "PluginScaffold", "Diagnosis", "ModelCards", "CLineEditor",
                    .product(name: "ArgumentParser", package: "swift-argument-parser"),
                ],
                path: "Sources/bridge-cli",
                swiftSettings: strict
            ),
            .target(
                name: "CLineEditor",
                path: "Sources/CLineEditor",
                linkerSettings: [.linkedLibrary("edit")]
            ),
            .target(
                name: "CCompression",
                path: "Sources/CCompression",
                linkerSettings: [.linkedLibrary("snappy"), .linkedLibrary("z"), .linkedLibrary("zstd")]
            ),
            .target(
                name: "Parquet",
                dependencies: [core, "CCompression"],
                path: "Sources/Parquet",
                swiftSettings: strict
            ),
            // Prints Parquet files as JSON, for the comparison with pyarrow.
            .executableTarget(
                name: "ParquetDump",
                dependencies: ["Parquet"],
                path: "Tests/ParquetDump",
                swiftSettings: strict
            ),
            // Prints the pixels of images, for the comparison with Pillow.
            .executableTarget(
                name: "ImageDump",
                dependencies: [core],
                path: "Tests/ImageDump",
                swiftSettings: strict
            ),
            .target(
                name: "Datasets",
                dependencies: [core, "Parquet", .product(name: "Yams", package: "Yams")],
                path: "Sources/Datasets",
                swiftSettings: strict
            ),
            // The package of a new plugin.
            .target(
                name: "PluginScaffold",
                dependencies: [core],
                path: "Sources/PluginScaffold",
                swiftSettings: strict
            ),
            // The checks of a machine.
            .target(name: "Diagnosis", dependencies: [core], path: "Sources/Diagnosis", swiftSettings: strict),
            .target(
                name: "Trainer",
                dependencies: [core, "Datasets"],
                path: "Sources/Trainer",
                swiftSettings: strict
            ),
            // Verification cards.
            .target(
                name: "ModelCards",
                dependencies: [core, "Trainer"],
                path: "Sources/ModelCards",
                swiftSettings: strict
            ),
            // Loaded when something is fetched from the network: what it links takes as long to load as all the rest together.
            .target(
                name: "BridgeFetch",
                path: "Sources/BridgeFetch",
                cSettings: [.headerSearchPath("../BridgeCore/CFetch/include")],
                linkerSettings: [.linkedLibrary("curl"), .linkedLibrary("crypto")]
            ),
            // Loaded when a run has more than one rank: everything else works on a machine without MPI.
            .systemLibrary(
                name: "COpenMPI",
                path: "Sources/COpenMPI",
                pkgConfig: "ompi-c",
                providers: [.apt(["libopenmpi-dev"])]
            ),
            .target(
                name: "BridgeMPI",
                dependencies: ["COpenMPI"],
                path: "Sources/BridgeMPI",
                cSettings: [.headerSearchPath("../BridgeCore/CMPI/include")]
            ),
            .target(name: "FaultInjection", path: "Tests/FaultInjection", linkerSettings: [.linkedLibrary("dl")]),
            .target(name: "TileEmulation", path: "Tests/TileEmulation"),
            // Compiles sources of CTensorKernels again, with emulated instructions.
            .target(
                name: "AMXEmulation",
                dependencies: ["TileEmulation"],
                path: "Tests/AMXEmulation",
                cSettings: [.headerSearchPath("../../Sources/BridgeCore/CTensorKernels/include")],
                linkerSettings: [.linkedLibrary("m")]
            ),
            .target(name: "TestSupport", dependencies: [core], path: "Tests/TestSupport", swiftSettings: tests),
            .testTarget(
                name: "JSONTreeTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/JSONTreeTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "BridgeCoreTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/BridgeCoreTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "ModelTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/ModelTests",
                swiftSettings: tests
            ),
            // The rules of plugins, on the families here, on those of the examples and on one with mistakes.
            .testTarget(
                name: "ConformanceTests",
                dependencies: [core, "ModelCards", "PluginScaffold", "TestSupport"],
                path: "Tests/ConformanceTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "ArchitectureTests",
                dependencies: ["TestSupport"],
                path: "Tests/ArchitectureTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "TokenizersTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/TokenizersTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "TensorRuntimeTests",
                dependencies: [core, "TestSupport", "TileEmulation"],
                path: "Tests/TensorRuntimeTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "CommunicationTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/CommunicationTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "ImagingTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/ImagingTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "ParquetTests",
                dependencies: [core, "Parquet", "TestSupport"],
                path: "Tests/ParquetTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "TrainerTests",
                dependencies: [core, "Trainer", "Datasets", "Parquet", "TestSupport"],
                path: "Tests/TrainerTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "DiagnosisTests",
                dependencies: [core, "Diagnosis", "TestSupport"],
                path: "Tests/DiagnosisTests",
                swiftSettings: tests
            ),
            .testTarget(
                name: "ModelCardTests",
                dependencies: [core, "ModelCards", "TestSupport"],
                path: "Tests/ModelCardTests",
                swiftSettings: tests
            ),
            // Goes through the plugins as they are loaded, because two of them cannot be linked into one program.
            .testTarget(
                name: "ProcessingTests",
                dependencies: [core, "TestSupport"],
                path: "Tests/ProcessingTests",
                swiftSettings: tests
            ),
            // Against a hub of its own, Tests/HubServer.
            .testTarget(
                name: "HubTests",
                dependencies: [core, "Diagnosis", "TestSupport", "bridge"],
                path: "Tests/HubTests",
                swiftSettings: tests
            ),
            // Replays the corpus of the fuzzers. SwiftPM allows no target of the package `Fuzz` here, because that depends on this one.
            .testTarget(
                name: "CorpusTests",
                dependencies: [core, "Parquet", "TestSupport"],
                path: "Fuzz/Sources",
                exclude: ["FuzzTargets/LibFuzzer.swift"],
                swiftSettings: tests
            ),
            // Runs the built program, which `swift test` builds together with the plugins before it starts.
            .testTarget(
                name: "CommandTests",
                dependencies: [core, "Parquet", "TestSupport", "TileEmulation", "bridge"],
                path: "Tests/CommandTests",
                swiftSettings: tests
            ),
        ],
    swiftLanguageModes: [.v6]
)
