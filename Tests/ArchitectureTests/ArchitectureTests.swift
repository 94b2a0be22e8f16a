import Foundation
import TestSupport
import Testing

/// What the structure promises, read off the sources.
@Suite struct ArchitectureTests {
    /// The code of a file without its comments.
    private func code(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.trimmingCharacters(in: .whitespaces).hasPrefix("//") ? "" : String(line)
        }.joined(separator: "\n")
    }

    @Test func theCoreNamesNoFamily() throws {
        let files =
            try SourceTree.files("Sources/BridgeCore") + SourceTree.files("Sources/BridgeCore", ending: ".h")
            + SourceTree.files("Sources/BridgeCore", ending: ".c")
        #expect(files.count > 50)
        for (path, text) in files {
            let words = code(text).lowercased()
            for family in ["mistral", "gemma", "pixtral", "siglip"] {
                #expect(!words.contains(family), "\(path) names \(family)")
            }
        }
    }

    @Test func noPluginImportsAnother() throws {
        let families = try FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.repository)/Plugins").sorted()
        #expect(families == ["Gemma3VL", "Ministral3", "Mistral"])
        for (path, text) in try SourceTree.files("Plugins") {
            for family in families { #expect(!text.contains("import \(family)\n"), "\(path) imports \(family)") }
        }
    }

    @Test func onlyTheCommandLinePrintsAndReadsTheEnvironment() throws {
        for (path, text) in try SourceTree.files("Sources/BridgeCore") + SourceTree.files("Plugins") {
            #expect(code(text).firstMatch(of: /(^|[^.\w])(print|debugPrint)\(/) == nil, "\(path) prints")
            #expect(
                !text.contains("getenv(") && !text.contains("ProcessInfo.processInfo.environment")
                    // What all programs that use the hub share by convention, read in one place.
                    && (!text.contains("csys_environment(") || path.hasSuffix("ProcessVariables.swift")),
                "\(path) reads the environment"
            )
        }
    }

    /// An engine that is made before the limit of `BRIDGE_MAX_CPU_ISA` is set fixes oneDNN's level for all tests.
    @Test func testsMakeTheirEnginesWithinTheLevelThatIsAskedFor() throws {
        for (path, text) in try SourceTree.files("Tests") where !path.contains("/TensorRuntimeTests/") {
            let isAllowed = path.hasSuffix("TestEngine.swift") || path.hasSuffix("ArchitectureTests.swift")
            #expect(isAllowed || !code(text).contains(" CPUEngine("), "\(path) makes a CPUEngine; use TestEngine.cpu")
        }
    }

    @Test func testsHaveNoSymbolicLinks() throws {
        for directory in ["Tests", "Fuzz"] {
            let root = "\(Fixtures.repository)/\(directory)"
            for name in try FileManager.default.subpathsOfDirectory(atPath: root) where !name.hasPrefix(".build") {
                let type =
                    try FileManager.default.attributesOfItem(atPath: "\(root)/\(name)")[.type] as? FileAttributeType
                #expect(type != .typeSymbolicLink, "\(directory)/\(name) is a symbolic link; use TestSupport")
            }
        }
    }

    /// A fixed time is too short on a loaded machine and too long on every other one, and a failure has to be repeatable.
    @Test func testsWaitForEventsAndDrawSeededNumbers() throws {
        let sleep = /\b(usleep|sleep|nanosleep)\(|Task\.sleep|Thread\.sleep|asyncAfter/
        let random = /SystemRandomNumberGenerator|\.random\((?![^\n]*using:)|\.shuffled\(\)|\.randomElement\(\)/
        for (path, text) in try SourceTree.files("Tests") + SourceTree.files("Fuzz/Sources") {
            guard !path.hasSuffix("/ArchitectureTests.swift") else { continue }
            let text = code(text)
            let isAllowed = path.hasSuffix("TestSupport/Waiting.swift")
            #expect(isAllowed || text.firstMatch(of: sleep) == nil, "\(path) sleeps; use Monitor or wait(until:)")
            #expect(text.firstMatch(of: random) == nil, "\(path) draws unseeded numbers; use TestSeed.generator()")
        }
    }

    @Test func nothingIsForcedAndNothingIsLeftToDo() throws {
        for (path, text) in try SourceTree.files("Sources") + SourceTree.files("Plugins") {
            let text = code(text)
            for word in ["try!", "as!", "fatalError(", "TODO", "FIXME"] {
                // A wrong shape inside a forward pass stops the process, there and nowhere else.
                let isAllowed = word == "fatalError(" && path.hasSuffix("Tensor+Failure.swift")
                #expect(isAllowed || !text.contains(word), "\(path) has \(word)")
            }
        }
    }

    @Test func noFileIsTooLong() throws {
        for (path, text) in try SourceTree.files("Sources") + SourceTree.files("Plugins") + SourceTree.files("Tests") {
            #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count <= 500, "\(path)")
        }
    }

    @Test func theTreeInTheReadmeIsTheTreeOnTheDisk() throws {
        let readme = try String(contentsOfFile: "\(Fixtures.repository)/README.md", encoding: .utf8)
        #expect(
            readme.split(separator: "\n", omittingEmptySubsequences: false).count <= 181,
            "README.md has more than 180 lines"
        )
        let tree = try #require(
            readme.split(separator: "## Repository layout").last?.split(separator: "```").dropFirst().first
        )
        // The first line is the language of the block.
        let paths = tree.split(separator: "\n").dropFirst().compactMap {
            $0.split(separator: " ").first.map(String.init)
        }
        #expect(paths.count >= 12)
        for path in paths {
            #expect(FileManager.default.fileExists(atPath: "\(Fixtures.repository)/\(path)"), "\(path)")
        }
        let top = try FileManager.default.contentsOfDirectory(atPath: Fixtures.repository).filter {
            !$0.hasPrefix(".") && $0 != "Package.resolved"
        }
        for name in top {
            #expect(paths.contains { $0 == name || $0.hasPrefix("\(name)/") }, "README's tree does not have \(name)")
        }
    }
}
