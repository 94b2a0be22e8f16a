// swift-tools-version: 6.1
import PackageDescription

// A nested package because SwiftPM links the targets of one package statically into each product: a plugin would then
// carry its own copy of the core, and every cast to a core protocol would fail. One dynamic product keeps one copy.

let strict: [SwiftSetting] = ["ExistentialAny", "InternalImportsByDefault", "MemberImportVisibility"].map {
    .enableUpcomingFeature($0)
}

/// The modules of the core, each in the directory of its name: one uses only those above it.
let modules: [(name: String, uses: [String])] = [
    ("JSONTree", ["CJSONC"]),
    ("BridgeSupport", ["JSONTree", "CSystem", "CBlockHash", "Logging"]),
    ("TensorRuntime", ["CTensorKernels", "COpenBLAS", "COneDNN"]),
    ("Imaging", ["CImageCodecs"]),
    ("JinjaTemplates", ["JSONTree"]),
    ("Tokenizers", ["JSONTree", "BridgeSupport", "JinjaTemplates", "CPCRE2"]),
    ("Communication", ["TensorRuntime", "BridgeSupport", "CMPI", "CSystem", "CTensorKernels"]),
    ("TensorFiles", ["JSONTree", "TensorRuntime", "BridgeSupport", "CTensorKernels"]),
    ("TorchFiles", ["TensorRuntime", "BridgeSupport", "TensorFiles"]),
    ("ModelSchema", ["JSONTree", "TensorRuntime", "BridgeSupport", "TensorFiles"]),
    ("CheckpointFormats", ["JSONTree", "TensorRuntime", "BridgeSupport", "TensorFiles", "TorchFiles", "ModelSchema"]),
    ("Recipes", ["JSONTree", "BridgeSupport", "ModelSchema", "Yams"]),
    ("NativeKernels", ["TensorRuntime", "BridgeSupport", "CFFI"]),
    ("Network", ["JSONTree", "BridgeSupport", "CFetch", "CSystem", "Logging"]),
    (
        "Processing",
        ["JSONTree", "Imaging", "JinjaTemplates", "Tokenizers", "BridgeSupport", "ModelSchema", "Network"]
    ),
    (
        "Models",
        [
            "JSONTree", "TensorRuntime", "Communication", "Imaging", "BridgeSupport", "TensorFiles", "ModelSchema",
            "Recipes", "Processing", "NativeKernels",
        ]
    ),
    (
        "ModelPlugins",
        [
            "NativeKernels", "JSONTree", "TensorRuntime", "BridgeSupport", "TensorFiles", "ModelSchema",
            "CheckpointFormats", "Recipes",
            "Processing", "Tokenizers", "Models", "CPluginABI", "CSystem",
        ]
    ),
    (
        "Adapters",
        [
            "JSONTree", "TensorRuntime", "Communication", "Tokenizers", "BridgeSupport", "TensorFiles", "ModelSchema",
            "CheckpointFormats", "Recipes", "Models", "ModelPlugins",
        ]
    ),
    (
        "Conversion",
        [
            "JSONTree", "TensorRuntime", "BridgeSupport", "TensorFiles", "TorchFiles", "ModelSchema",
            "CheckpointFormats",
            "Recipes", "Network", "Processing", "Tokenizers", "ModelPlugins", "Adapters", "CTensorKernels", "Yams",
        ]
    ),
    (
        "HuggingFaceHub",
        [
            "JSONTree", "Tokenizers", "BridgeSupport", "TensorFiles", "ModelSchema", "CheckpointFormats", "Network",
        ]
    ),
    (
        "Toys",
        [
            "JSONTree", "TensorRuntime", "BridgeSupport", "TensorFiles", "ModelSchema", "CheckpointFormats",
            "ModelPlugins", "Conversion", "CTensorKernels",
        ]
    ),
    (
        "BridgeCore",
        [
            "JSONTree", "TensorRuntime", "Communication", "Tokenizers", "BridgeSupport", "TensorFiles", "ModelSchema",
            "CheckpointFormats", "Recipes", "Processing", "Models", "ModelPlugins", "Adapters", "Conversion",
            "HuggingFaceHub", "Toys", "NativeKernels", "Network",
        ]
    ),
    ("PluginConformance", ["JSONTree", "TensorRuntime", "Communication", "Imaging", "BridgeCore"]),
]

func dependency(_ name: String) -> Target.Dependency {
    switch name {
    case "Logging": .product(name: "Logging", package: "swift-log")
    case "Yams": .product(name: "Yams", package: "Yams")
    default: .byName(name: name)
    }
}

let package = Package(
    name: "BridgeCore",
    products: [
        .library(
            name: "BridgeCore",
            type: .dynamic,
            targets: modules.map(\.name)
        )
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"),
    ],
    targets: [
        .systemLibrary(name: "CJSONC", path: "CJSONC", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
        .systemLibrary(name: "CPCRE2", path: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CPNG", path: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CJPEG", path: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"])]),
        .systemLibrary(name: "CWebP", path: "CWebP", pkgConfig: "libwebpdemux", providers: [.apt(["libwebp-dev"])]),
        .systemLibrary(name: "CTIFF", path: "CTIFF", pkgConfig: "libtiff-4", providers: [.apt(["libtiff-dev"])]),
        .systemLibrary(
            name: "COpenBLAS",
            path: "COpenBLAS",
            pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"])]
        ),
        .target(name: "COneDNN", path: "COneDNN", linkerSettings: [.linkedLibrary("dnnl")]),
        // A failure inside libpng and libjpeg ends in a jump, which Swift code may not be under.
        .target(
            name: "CImageCodecs",
            dependencies: ["CPNG", "CJPEG", "CWebP", "CTIFF"],
            path: "CImageCodecs",
            // giflib comes without a file for pkg-config.
            linkerSettings: [.linkedLibrary("gif")]
        ),
        .target(name: "CPluginABI", path: "CPluginABI"),
        .target(name: "CSystem", path: "CSystem"),
        .target(name: "CFFI", path: "CFFI", linkerSettings: [.linkedLibrary("ffi")]),
        .target(name: "CFetch", path: "CFetch"),
        .target(name: "CMPI", path: "CMPI"),
        // Of libxxhash it takes the header, which has all of it.
        .target(name: "CBlockHash", path: "CBlockHash"),
        .target(name: "CTensorKernels", path: "CTensorKernels"),
    ]
        + modules.map { module in
            .target(
                name: module.name,
                dependencies: module.uses.map(dependency),
                path: module.name,
                swiftSettings: strict
            )
        },
    swiftLanguageModes: [.v6]
)
