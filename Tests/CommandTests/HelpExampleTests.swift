import Foundation
import TestSupport
import Testing

/// Every example of every help text is a command line.
@Suite struct HelpExampleTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// The examples of a command's help and of its subcommands'.
    private func examples(_ words: [String] = []) throws -> [String] {
        let help = try BridgeProcess(words + ["--help"], environment: ["COLUMNS": "1000"]).wait().output
        let lines = help.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        var examples: [String] = []
        var example = ""
        for line in lines where line.hasPrefix("  bridge ") || !example.isEmpty {
            example += line.trimmingCharacters(in: .whitespaces)
            if example.hasSuffix("\\") {
                example.removeLast()
            } else {
                examples.append(example)
                example = ""
            }
        }
        let subcommands = lines.drop { $0 != "SUBCOMMANDS:" }.dropFirst().prefix { !$0.isEmpty }
            .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
        return try subcommands.reduce(examples) { try $0 + self.examples(words + [$1]) }
    }

    @Test func everyExampleCanBeParsed() throws {
        let examples = Set(try examples())
        #expect(examples.count > 40)
        for example in examples {
            // What they name is not there, so that each ends at once.
            let outcome = try BridgeProcess(
                [],
                shell: "PROGRAM=$1; bridge() { \"$PROGRAM\" \"$@\"; }; cd '\(scratch.path)'; eval \"$EXAMPLE\"",
                environment: ["EXAMPLE": example, "HF_HUB_OFFLINE": "1", "HF_HOME": scratch.path("home")]
            ).wait()
            #expect(!outcome.errors.contains("Usage: bridge"), "\(example): \(outcome.errors)")
        }
    }
}
