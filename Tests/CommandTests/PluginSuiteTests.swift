import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge plugins new` and `bridge plugins test` as a user calls them.
@Suite struct PluginSuiteTests {
    private static let plugin = BridgeProcess.buildDirectory.appendingPathComponent("libMistralPlugin.so").path

    @Test func aPluginThatKeepsTheRulesIsReportedRuleByRule() throws {
        let outcome = try BridgeProcess.run(
            "plugins",
            "test",
            Self.plugin,
            "--hf-model",
            Fixtures.checkpoint("mistral"),
            "--reference",
            "\(Fixtures.root)/reference/mistral.safetensors"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("✅ the logits are those of the reference program"))
        #expect(outcome.output.contains("keeps all 22 rules that were checked"))
        #expect(!outcome.output.contains("were not compared"))
        let scratch = try TemporaryDirectory()
        // Of another plugin it takes the kernels and tests no family.
        let kernels = try PluginTests.compile(
            String(contentsOfFile: "\(Fixtures.repository)/Examples/Plugins/Softcap/softcap.c", encoding: .utf8),
            to: scratch.url("libSoftcapPlugin.so")
        )
        let json = try BridgeProcess.run("plugins", "test", Self.plugin, "--json", "--plugin", kernels)
        let report = try JSON(parsing: Array(json.output.utf8))
        #expect(report["broken"] == 0 && report["checked"] == 20)
        #expect(report["results"]?.array?.last?["reason"] == "there is no fixture")
        let plain = try BridgeProcess.run("plugins", "test", Self.plugin)
        #expect(
            plain.output.contains("logits were not compared with those of the reference program"),
            "\(plain.output)"
        )
        let list = try BridgeProcess.run("plugins", "list", "--plugin", kernels)
        #expect(list.output.contains("KERNELS") && list.output.firstMatch(of: #/softcap +1\.0\.0 +softcap +/#) != nil)
        expect(
            try BridgeProcess.run("models", "--plugin", scratch.path),
            failsWith: 1,
            mentioning: "is a directory, expected a library"
        )
    }

    @Test func logitsOfAnotherModelBreakARule() throws {
        // Its vocabulary is another one too.
        let outcome = try BridgeProcess.run(
            "plugins",
            "test",
            Self.plugin,
            "--hf-model",
            Fixtures.checkpoint("mistral"),
            "--reference",
            "\(Fixtures.root)/reference/mistral-yarn.safetensors"
        )
        expect(outcome, failsWith: 1, mentioning: Self.plugin, "breaks 1 of 22 rules")
        #expect(outcome.output.contains("❌ the logits are those of the reference program"), "\(outcome.output)")
        #expect(outcome.output.contains("logits differ from the reference by"), "\(outcome.output)")
    }

    @Test func aFixtureThatIsNotThereIsAnError() throws {
        let outcome = try BridgeProcess.run("plugins", "test", Self.plugin, "--hf-model", "/nowhere")
        expect(outcome, failsWith: 1, mentioning: "/nowhere")
        let other = try BridgeProcess.run("plugins", "test", Self.plugin, "--hf-model", Fixtures.checkpoint("gemma3"))
        expect(other, failsWith: 1, mentioning: "no plugin converts Gemma3ForConditionalGeneration")
        #expect(try BridgeProcess.run("plugins", "test", Self.plugin, "--reference", "x").status == 64)
    }

    @Test func aPluginThatEndsTheProcessIsNamedWithTheRule() throws {
        let plugin = BridgeProcess.buildDirectory.appendingPathComponent("libGemma3VLPlugin.so").path
        let run = try BridgeProcess(["plugins", "test", plugin])
        func child() -> Int32? {
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(run.identifier)/task")) ?? []
            return threads.lazy.compactMap { thread in
                try? String(contentsOfFile: "/proc/\(run.identifier)/task/\(thread)/children", encoding: .utf8)
            }.flatMap { $0.split(separator: " ") }.compactMap { Int32($0) }.first
        }
        // Its families are being checked when the first rule is printed.
        try wait(until: "the first rule is printed") { run.outputSoFar.contains("✅") || !run.isRunning }
        kill(try #require(child()), SIGKILL)
        let outcome = try run.wait()
        expect(outcome, failsWith: 1, mentioning: plugin, "stopped the process with signal 9 in gemma3")
        #expect(outcome.sentence.contains("while it was checked that"), "\(outcome.errors)")
    }

    @Test func aNewPackageIsOutsideOfTheSources() throws {
        let scratch = try TemporaryDirectory()
        let directory = scratch.path("Sample")
        let outcome = try BridgeProcess.run("plugins", "new", "Sample", "--output", directory, "--json")
        let report = try JSON(parsing: Array(outcome.output.utf8))
        #expect(report["directory"]?.string == directory && (report["guesses"]?.integer ?? 0) > 0)
        let files = (report["files"]?.array ?? []).compactMap(\.string)
        #expect(files.count == 10)
        for file in files { #expect(FileManager.default.fileExists(atPath: "\(directory)/\(file)"), "\(file)") }
        let manifest = try String(contentsOfFile: "\(directory)/Package.swift", encoding: .utf8)
        #expect(manifest.contains("?? \"\(Fixtures.repository)\""))
        expect(
            try BridgeProcess.run("plugins", "new", "Sample", "--output", directory),
            failsWith: 1,
            mentioning: "already exists"
        )
        #expect(try BridgeProcess.run("plugins", "new", "sample").status == 64)
        expect(
            try BridgeProcess.run(
                "plugins",
                "new",
                "Other",
                "--output",
                scratch.path("Other"),
                "--bridge-source",
                "/tmp"
            ),
            failsWith: 64,
            mentioning: "/tmp has no Sources/BridgeCore/Package.swift"
        )
        #expect(scratch.content.allSatisfy { $0.hasPrefix("Sample") })
    }
}
