import Foundation
import TestSupport
import Testing

/// Documents and sources use the terms of the glossary.
@Suite struct LanguageTests {
    /// The checked files, and directories with the ending of their files.
    ///
    /// Sources are added here once their names and comments use the terms.
    private static let checked: [(path: String, ending: String)] = [
        ("README.md", ""), ("CONTRIBUTING.md", ""), ("CHANGELOG.md", ""), ("Makefile", ""), ("Examples/README.md", ""),
        ("Fuzz/README.md", ""), ("Sources/BridgeCore/README.md", ""), ("Tests/Fixtures/README.md", ""),
        ("Examples/mistral", ".sh"), ("Examples/ministral3", ".sh"), ("Examples/gemma3_vl", ".sh"),
        ("Sources/BridgeCore/BridgeCore/Documentation.docc", ".md"),
        ("Sources/BridgeCore/HuggingFaceHub", ".swift"), ("Sources/BridgeCore/Network", ".swift"),
        ("Sources/BridgeCore/BridgeSupport", ".swift"), ("Sources/BridgeCore/CheckpointFormats", ".swift"),
        ("Sources/BridgeCore/Conversion", ".swift"), ("Sources/BridgeCore/TensorFiles", ".swift"),
        ("Sources/BridgeCore/ModelSchema", ".swift"), ("Sources/BridgeCore/ModelPlugins", ".swift"),
        ("Sources/BridgeCore/Toys", ".swift"), ("Sources/BridgeCore/JSONTree", ".swift"),
        ("Sources/BridgeCore/TensorRuntime", ".swift"), ("Sources/BridgeCore/Tokenizers", ".swift"),
        ("Sources/BridgeCore/JinjaTemplates", ".swift"), ("Sources/BridgeCore/Imaging", ".swift"),
        ("Sources/BridgeCore/Processing", ".swift"), ("Sources/BridgeCore/Models", ".swift"),
        ("Sources/BridgeCore/Adapters", ".swift"), ("Sources/BridgeCore/CTensorKernels", ".c"),
        ("Sources/BridgeCore/CTensorKernels", ".h"), ("Sources/BridgeCore/CImageCodecs", ".c"),
        ("Sources/BridgeCore/CImageCodecs", ".h"), ("Sources/BridgeCore/CFetch", ".c"),
        ("Sources/BridgeCore/CFetch", ".h"), ("Sources/BridgeCore/CSystem", ".c"),
        ("Sources/BridgeCore/CSystem", ".h"), ("Sources/Parquet", ".swift"), ("Sources/Datasets", ".swift"),
        ("Sources/BridgeCore/BridgeCore", ".swift"), ("Sources/BridgeCore/Recipes", ".swift"),
        ("Sources/BridgeCore/PluginConformance", ".swift"), ("Sources/BridgeCore/NativeKernels", ".swift"),
        ("Sources/PluginScaffold", ".swift"), ("Sources/Diagnosis", ".swift"), ("Sources/ModelCards", ".swift"),
        ("Sources/Trainer", ".swift"), ("Sources/bridge-cli", ".swift"), ("Plugins", ".swift"),
        ("Examples", ".swift"), ("Examples", ".py"),
    ]

    /// Words that a file may contain, by the end of its path.
    private static let allowed: [String: Set<String>] = [
        // The name of the fixture `mistral-peer`.
        "Tests/Fixtures/README.md": ["peer"],
        // The option `--image-folder`.
        "Options/DataOptions.swift": ["folder"], "Options/ImageFolderOptions.swift": ["folder"],
        // A former key of the JSON output, and an option.
        "Inference/Evaluate.swift": ["said", "folder"],
    ]

    private func texts() throws -> [(path: String, text: String)] {
        try Self.checked.flatMap { path, ending in
            if !ending.isEmpty { return try SourceTree.files(path, ending: ending) }
            let text = try String(contentsOfFile: "\(Fixtures.repository)/\(path)", encoding: .utf8)
            return [(path, text)]
        }
    }

    @Test func documentsUseTheTermsOfTheGlossary() throws {
        let words = try ReplacedWords()
        #expect(words.table.count > 40)
        for (path, text) in try texts() {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            // The tables of the settings are generated from the sources.
            let written = name == "Settings.md" ? text.components(separatedBy: "## The keys")[0] : text
            let exceptions = Self.allowed.first { path.hasSuffix($0.key) }?.value ?? []
            let found = words.found(in: written, allowed: exceptions)
            #expect(found.isEmpty, "\(path) has replaced words, see Glossary.md: \(found)")
        }
    }

    /// The words of an identifier in camel case.
    private func words(_ name: Substring) -> String {
        name.matches(of: /[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+/).map { $0.output.lowercased() }
            .joined(separator: " ")
    }

    @Test func functionsOfTestsUseTheTermsOfTheGlossary() throws {
        let replaced = try ReplacedWords()
        for (path, text) in try SourceTree.files("Tests") + SourceTree.files("Fuzz/Sources") {
            for name in text.matches(of: /func (\w+)/).map(\.1) {
                let found = replaced.found(in: words(name))
                #expect(found.isEmpty, "\(path): \(name) has replaced words, see Glossary.md: \(found)")
            }
        }
        #expect(words("aJSONFileHas2Words") == "a json file has 2 words")
    }

    @Test func aReplacedWordIsFoundAsAWordOnly() throws {
        let words = try ReplacedWords()
        #expect(words.found(in: "one\nThe Picture, and what it says") == ["2: picture", "2: says"])
        #expect(words.found(in: "`picture` dataset.image_folder essays, there is no such file") == [])
        #expect(words.found(in: "it is no file") == ["1: is no"])
        #expect(words.found(in: "a folder", allowed: ["folder"]) == [])
    }
}
