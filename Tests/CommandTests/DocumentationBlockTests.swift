import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// Every block of code of the documents is checked, or listed with the reason why it is not.
///
/// Blocks of Swift are compiled by `scripts/docs`.
@Suite struct DocumentationBlockTests {
    /// The blocks that nothing reads, by their document and first words.
    private static let unchecked: [(document: String, start: String, reason: String)] = [
        ("README.md", "Package.swift  ", "a listing of directories, which ArchitectureTests compares with the disk"),
        ("NativeContainer.md", "<path>/", "a listing of files"),
        ("TorchDist.md", "<path>/", "a listing of files"),
        ("ParallelTraining.md", "error: rank 0", "a message"),
        ("ParallelTraining.md", "ranks: 2 on 1 host", "output of a machine with two sockets"),
        ("Sources/BridgeCore/README.md", "graph TD", "a diagram, which ModuleTests compares with the manifest"),
    ]

    /// Commands of other programs: the shell parses their lines, and nothing else is checked.
    private static let programs: Set<String> = [
        "apt-get", "cc", "echo", "export", "llama-cli", "python3", "swift", "tar",
    ]

    @Test func everyBlockHasALanguageThatIsChecked() throws {
        let blocks = try CodeBlock.all()
        #expect(blocks.count > 30)
        var used: Set<Int> = []
        for block in blocks where !["sh", "swift", "c", "json", "yaml"].contains(block.language) {
            let row = Self.unchecked.firstIndex {
                block.document.hasSuffix($0.document) && block.text.hasPrefix($0.start)
            }
            #expect(
                row != nil,
                "\(block.place): '\(block.language)' is not checked; name its language, or its reason here"
            )
            if let row { used.insert(row) }
        }
        #expect(used == Set(Self.unchecked.indices), "a row of the table has no block")
    }

    /// The lines of a block, continued ones as one.
    private func commands(_ block: CodeBlock) -> [String] {
        block.text.replacing("\\\n", with: " ").split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    }

    /// The words of commands as a shell splits them, without running anything.
    private func words(_ lines: [String]) throws -> [[String]] {
        let scratch = try TemporaryDirectory()
        let script = """
            exec 3>&1
            bridge() { { for word in bridge "$@"; do printf '%s\\037' "$word"; done; printf '\\036'; } >&3; }
            hfbridge() { bridge "$@"; }
            command_not_found_handle() { :; }
            hash -r; PATH=/nonexistent; for line in "$@"; do eval "$line"; done
            """
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.currentDirectoryURL = scratch.url
        process.arguments = ["-c", script, "bash"] + lines
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).split(separator: "\u{1e}").map { command in
            command.split(separator: "\u{1f}", omittingEmptySubsequences: false).dropLast().map(String.init)
        }
    }

    /// The problem of a command line of `bridge`; nil for one that can be run.
    private func problem(_ arguments: [String]) -> String? {
        let words = CommandWords(arguments)
        if let problem = words.problem { return problem }
        do { _ = try BridgeCommand.parseAsRoot(words.words) } catch { return BridgeCommand.message(for: error) }
        return nil
    }

    @Test func everyCommandOfTheProgramCanBeParsed() throws {
        var count = 0
        for block in try CodeBlock.all() where block.language == "sh" {
            let lines = commands(block).filter {
                $0.contains("bridge ") && !$0.hasPrefix("echo ") && !$0.hasPrefix("cc ")
            }
            for found in try words(lines) where found.first == "bridge" {
                count += 1
                let problem = problem(Array(found.dropFirst()))
                #expect(problem == nil, "\(block.place): \(found.joined(separator: " ")): \(problem ?? "")")
            }
        }
        #expect(count > 45)
        // A mistake in a block would be found.
        let unknown = problem(["toy", "--familly", "mistral", "--output", "x"])
        #expect(unknown?.contains("--familly is not an option of 'bridge toy', did you mean --family?") == true)
        #expect(problem(["train", "--hf-model", "toy"])?.contains("name a recipe with --recipe") == true)
        #expect(try words(["bridge a 'b c' && bridge d > file   # e"]) == [["bridge", "a", "b c"], ["bridge", "d"]])
    }

    @Test func everyOtherCommandExists() throws {
        let makefile = try String(contentsOfFile: "\(Fixtures.repository)/Makefile", encoding: .utf8)
        for block in try CodeBlock.all() where block.language == "sh" {
            let syntax = try BridgeProcess([], shell: "bash -n", input: block.text).wait()
            #expect(syntax.status == 0, "\(block.place): \(syntax.errors)")
            for line in commands(block) {
                let parts = line.split(separator: " ").map(String.init)
                guard let program = parts.first(where: { !$0.contains("=") }) else { continue }
                switch program {
                case "bridge", "hfbridge": break
                case _ where program.hasSuffix("/bin/hfbridge"): break
                case "make": #expect(makefile.contains("\n\(parts[1]):"), "\(block.place): there is no \(line)")
                case _ where program.contains("/"):
                    let path = "\(Fixtures.repository)/\(program)"
                    #expect(
                        FileManager.default.isExecutableFile(atPath: path),
                        "\(block.place): there is no \(program)"
                    )
                default: #expect(Self.programs.contains(program), "\(block.place): \(program)")
                }
            }
        }
    }

    /// The manifest of a fixture with two tensor ranks, of which the documents show parts.
    private func manifest(_ scratch: TemporaryDirectory) throws -> JSON {
        try BridgeProcess.convert(Fixtures.checkpoint("mistral"), to: scratch.path("native"), "--tp", "2")
        return try JSON(contentsOf: scratch.path("native/iter_0000000/manifest.json"))
    }

    @Test func blocksOfOtherLanguagesAreValid() throws {
        var languages: Set<String> = []
        let scratch = try TemporaryDirectory()
        for block in try CodeBlock.all() {
            switch block.language {
            case "json":
                let manifest = try manifest(scratch)
                for (name, value) in try JSON(parsing: Array(block.text.utf8)).object ?? JSONObject() {
                    #expect(
                        manifest["parameters"]?[name] == value,
                        "\(block.place): \(manifest["parameters"]?[name] ?? .null)"
                    )
                }
            case "yaml":
                // All of them are recipes.
                try Data(block.text.utf8).write(to: scratch.url("recipe.yaml"))
                let outcome = try BridgeProcess.run("recipes", "show", scratch.path("recipe.yaml"))
                #expect(outcome.status == 0, "\(block.place): \(outcome.errors)")
            case "c":
                let compiler =
                    "cc -xc -fsyntax-only -Wall -Werror -I '\(Fixtures.repository)/Sources/BridgeCore/CPluginABI/include' -"
                let outcome = try BridgeProcess([], shell: compiler, input: block.text).wait()
                #expect(outcome.status == 0, "\(block.place): \(outcome.errors)")
            default: continue
            }
            languages.insert(block.language)
        }
        #expect(languages == ["json", "yaml", "c"])
    }
}
