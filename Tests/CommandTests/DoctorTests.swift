import Foundation
import JSONTree
import TestSupport
import Testing

/// The command that checks a machine.
@Suite struct DoctorTests {
    private let scratch: TemporaryDirectory
    private static let names = [
        "libraries", "processor", "threads", "plugins", "mpi", "memory", "cache", "disk", "hub",
    ]

    init() throws { scratch = try TemporaryDirectory() }

    private func run(_ arguments: [String] = [], _ variables: [String: String] = [:]) throws -> BridgeProcess.Outcome {
        let environment = ["HF_HOME": scratch.path("home"), "HF_HUB_OFFLINE": "1", "HF_TOKEN": "hf_secret"]
        return try BridgeProcess(["doctor"] + arguments, environment: environment.merging(variables) { $1 }).wait()
    }

    @Test func everyCheckIsOneLine() throws {
        let outcome = try run()
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.map { $0.split(separator: " ").dropFirst().first.map(String.init) } == Self.names, "\(outcome)")
        #expect(lines.allSatisfy { $0.firstMatch(of: #/^(ok|warning|failed) +/#) != nil }, "\(outcome.output)")
        #expect(outcome.status == 0, "\(outcome)")
        #expect(!outcome.output.contains("hf_secret") && outcome.output.contains("a token"))
        #expect(scratch.content.isEmpty)
    }

    @Test func theJSONHasTheSame() throws {
        let outcome = try run(["--json"])
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect((json["checks"]?.array ?? []).map { $0["name"]?.string } == Self.names)
        #expect(["ok", "warning"].contains(json["status"]?.string))
        #expect(!outcome.output.contains("hf_secret"))
    }

    @Test func aPluginThatDoesNotLoadFailsItsCheckOnly() throws {
        let file = try scratch.write(Array("no library".utf8), to: "libBrokenPlugin.so")
        let outcome = try run([], ["BRIDGE_PLUGIN_PATH": scratch.path])
        let failed = outcome.output.split(separator: "\n").filter { $0.hasPrefix("failed") }
        #expect(outcome.status == 1 && failed.count == 1, "\(outcome)")
        #expect(failed.first?.contains(file) == true, "\(failed)")
        #expect(outcome.sentence == "1 of 9 checks failed")
        #expect(try run(["--json"], ["BRIDGE_PLUGIN_PATH": scratch.path]).status == 1)
    }

    @Test func limitsOfTheEnvironmentAreWarnings() throws {
        let outcome = try run([], ["BRIDGE_MAX_CPU_ISA": "PORTABLE", "BRIDGE_NUM_THREADS": "1000"])
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.output.contains("kernels for PORTABLE") && outcome.output.contains("unset it to use all"))
        #expect(outcome.output.contains("1000 threads on") && outcome.output.contains("set BRIDGE_NUM_THREADS="))
    }
}
