import BridgeCore
import Foundation
import Glibc

/// A Swift package with a plugin of one family, outside the sources of Bridge.
public struct PluginPackage: Sendable {
    /// The plugin's name, which is that of the package and begins the names of its types.
    public let name: String
    /// What the tables start from.
    public let draft: FamilyDraft
    /// The files by their paths in the package.
    public let files: [(path: String, text: String)]

    /// The number of lines that the author has to check.
    public var guesses: Int {
        files.filter { $0.path.hasPrefix("Sources/") }.reduce(0) { count, file in
            count + file.text.split(separator: "\n").count { $0.contains(FamilyDraft.mark) }
        }
    }

    /// A package.
    ///
    /// - Parameters:
    ///   - name: The plugin's name: a capital letter, then letters and digits.
    ///   - draft: What the tables start from.
    ///   - source: The directory with the sources of Bridge, as the package names it.
    /// - Throws: `BridgeError` for a name that cannot begin the names of types.
    public init(name: String, draft: FamilyDraft, source: String) throws {
        try Self.check(name)
        self.name = name
        self.draft = draft
        files = PackageTemplate(name: name, draft: draft, source: source).files
    }

    /// Checks a plugin's name.
    ///
    /// - Throws: `BridgeError` for a name that cannot begin the names of types.
    public static func check(_ name: String) throws {
        let isName = name.first.map { "A"..."Z" ~= $0 } ?? false
        guard isName, name.count <= 64,
            name.allSatisfy({ "a"..."z" ~= $0 || "A"..."Z" ~= $0 || "0"..."9" ~= $0 })
        else {
            throw BridgeError(
                .badArgument,
                "the plugin's name is \(name), expected a capital letter and then letters and digits, such as MyFamily, because it "
                    + "begins the names of types"
            )
        }
        // The package would have a module of the same name as one that it imports.
        guard !modules.contains(name), !name.hasPrefix("Foundation"), !name.hasPrefix("_") else {
            throw BridgeError(.badArgument, "\(name) is the name of a module that plugins import; choose another name")
        }
        if let type = types.first(where: { $0.prefix == name }) {
            throw BridgeError(
                .badArgument,
                "the types of a plugin \(name) would have names of the core's, such as \(name)\(type.suffix); choose another name"
            )
        }
    }

    /// The modules of the core, and those of Swift that they and a package use.
    private static let modules: Set<String> = [
        "Adapters", "BridgeCore", "BridgeSupport", "CheckpointFormats", "Communication", "Conversion", "HuggingFaceHub",
        "Imaging",
        "JSONTree", "JinjaTemplates", "ModelPlugins", "ModelSchema", "Models", "NativeKernels", "Network",
        "PluginConformance",
        "Processing", "Recipes", "Snippets", "TensorFiles", "TensorRuntime", "Tokenizers", "TorchFiles", "Toys",
        "CBlockHash", "CFFI",
        "CFetch", "CImageCodecs", "CJPEG", "CJSONC", "CMPI", "COneDNN", "COpenBLAS", "CPCRE2", "CPNG", "CPluginABI",
        "CSystem",
        "CTIFF", "CTensorKernels", "CWebP", "Cxx", "CxxStdlib", "Dispatch", "Distributed", "Glibc", "Logging",
        "Observation",
        "PackageDescription", "RegexBuilder", "Swift", "SwiftOnoneSupport", "SwiftShims", "Synchronization", "Testing",
        "XCTest", "Yams",
        "Any", "Protocol", "Self", "Type",
    ]

    /// The types that the types of a package are declared with, and others of the core with the same endings.
    private static let types = [
        (prefix: "Model", suffix: "Plugin"), (prefix: "Causal", suffix: "Model"), (prefix: "Auto", suffix: "Bridge"),
        (prefix: "Toy", suffix: "Model"), (prefix: "Megatron", suffix: "Provider"),
        (prefix: "Loaded", suffix: "Plugin"),
        (prefix: "Family", suffix: "Model"), (prefix: "Kernel", suffix: "Plugin"), (prefix: "GGUF", suffix: "Model"),
    ]

    /// Finds the sources of Bridge, from the directory of a program that was built in them or installed with them.
    ///
    /// - Parameter program: The path of the program.
    /// - Returns: The directory that has `Sources/BridgeCore`: one above the program, or `share/hfbridge` in one; nil for neither.
    public static func source(above program: String) -> String? {
        guard var directory = Files.real(program) else { return nil }
        while directory != "/" {
            directory = Files.parent(of: directory)
            for found in [directory, Files.join(directory, "share/hfbridge")] where isSource(found) { return found }
        }
        return nil
    }

    /// Whether a directory has the sources of Bridge.
    public static func isSource(_ directory: String) -> Bool {
        Files.exists(Files.join(directory, "Sources/BridgeCore/Package.swift"))
    }

    /// The path of the sources as a package in a directory names it: relative inside of the sources, else absolute.
    ///
    /// - Parameters:
    ///   - source: The directory with the sources.
    ///   - directory: The directory of the package, which need not exist.
    /// - Returns: The path.
    public static func path(to source: String, from directory: String) -> String {
        let root = Files.real(source) ?? source
        let parent = Files.parent(of: Files.trimmed(directory))
        let absolute = Files.real(parent.isEmpty ? "." : parent) ?? parent
        guard absolute == root || absolute.hasPrefix(root + "/") else { return root }
        let depth = absolute.dropFirst(root.count).split(separator: "/").count + 1
        return [String](repeating: "..", count: depth).joined(separator: "/")
    }

    /// Writes the package; a kill at any moment leaves all of it or nothing at its place.
    ///
    /// - Parameter directory: The directory of the package, which must not exist or be empty.
    /// - Throws: `BridgeError` for a directory with files, and for files that cannot be written.
    public func write(to directory: String) throws {
        let directory = Files.trimmed(directory)
        let isEmpty = Files.kind(of: directory) == .directory && (try? Files.list(directory).isEmpty) ?? false
        guard !Files.exists(directory) || isEmpty else {
            throw BridgeError(
                .destinationTaken,
                "\(directory) already exists and is not an empty directory; choose another --output"
            )
        }
        let parent = Files.parent(of: directory)
        let staging = Files.join(parent, ".\(Files.name(of: directory)).\(UUID().uuidString)")
        do {
            for (path, text) in files {
                let file = Files.join(staging, path)
                try FileManager.default.createDirectory(
                    atPath: Files.parent(of: file),
                    withIntermediateDirectories: true
                )
                try Files.write(Array(text.utf8), to: file)
            }
            guard rename(staging, directory) == 0 else {
                throw BridgeError(
                    .fileSystem,
                    "cannot rename \(staging) to \(directory): \(String(cString: strerror(errno)))"
                )
            }
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            guard error is BridgeError else {
                throw BridgeError(.fileSystem, "cannot write \(directory): \(error.localizedDescription)")
            }
            throw error
        }
    }
}
