import ArgumentParser
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// The manual pages, from the description of the commands.
@Suite struct ManualPageTests {
    private static let date = Date(timeIntervalSince1970: 1_000_000_000)

    private func pages() throws -> [String: String] {
        let pages = try ManualPages(program: "hfbridge", help: BridgeCommand._dumpHelp(), date: Self.date)
        return Dictionary(uniqueKeysWithValues: pages.files.map { ($0.name, $0.text) })
    }

    @Test func everyCommandHasAPageWithAllOfItsOptions() throws {
        let pages = try pages()
        var names: Set<String> = []
        func check(_ command: JSON, _ words: [String]) {
            let name = "\(words.joined(separator: "-")).1"
            names.insert(name)
            let page = pages[name] ?? ""
            for argument in command["arguments"]?.array ?? [] where argument["shouldDisplay"] != .bool(false) {
                for option in argument["names"]?.array ?? [] where option["kind"] == "long" {
                    #expect(page.contains("Fl -\(option["name"]?.string ?? "?")"), "\(name)")
                }
            }
            for below in command["subcommands"]?.array ?? []
            where below["commandName"] != "help" && below["shouldDisplay"] != .bool(false) {
                let word = below["commandName"]?.string ?? "?"
                #expect(page.contains(".It Xr \(words.joined(separator: "-"))-\(word) 1"), "\(name)")
                check(below, words + [word])
            }
        }
        check(try JSON(parsing: Array(BridgeCommand._dumpHelp().utf8))["command"] ?? .null, ["hfbridge"])
        #expect(Set(pages.keys) == names && names.count > 40)
    }

    @Test func examplesHaveTheNameOfTheProgram() throws {
        for (name, page) in try pages() {
            #expect(page.hasPrefix(".Dd September 9, 2001\n"), "\(name)")
            for line in page.split(separator: "\n") { #expect(!line.hasPrefix("bridge "), "\(name): \(line)") }
        }
        let page = try #require(try pages()["hfbridge-convert.1"])
        #expect(page.contains(".Bd -literal -offset indent\nhfbridge convert \\-\\-hf\\-model mistralai/"))
        // A backslash at the end of a line of the shell.
        #expect(page.contains("\\e\n  \\-\\-megatron\\-path megatron/ministral\n"))
    }

    @Test func textIsNotAMacro() throws {
        let help = #"""
            {"command": {"commandName": "x", "abstract": "It ends.", "discussion": ".One line\n'two'\n\nC:\\x\n\nNOTES:\n  .so x",
            "arguments": [
                {"kind": "option", "isOptional": true, "names": [{"kind": "short", "name": "a"}, {"kind": "long", "name": "ab-c"}],
                 "valueName": "Ar", "abstract": "-1 or more.", "defaultValue": "7", "allValues": ["7", "8"]},
                {"kind": "positional", "isOptional": false, "isRepeating": true, "valueName": "file", "abstract": "Files."}
            ]}}
            """#
        let page = try #require(try ManualPages(program: "p", help: help, date: Self.date).files.first)
        #expect(page.name == "p.1")
        let lines = page.text.split(separator: "\n").map(String.init)
        #expect(lines.contains(".Nd \\&It ends") && lines.contains("\\&.One line") && lines.contains("\\&'two'"))
        #expect(lines.contains("C:\\ex") && lines.contains("\\&.so x") && lines.contains(".Sh NOTES"))
        #expect(lines.contains(".It Fl a , Fl -ab-c Ar \\&Ar"))
        #expect(lines.contains("\\-1 or more.") && lines.contains("(values: 7, 8; default: 7)"))
        #expect(lines.contains(".Op Ar options") && lines.contains(".Ar file ..."))
    }

    @Test func theNameIsThatOfTheLinkThatWasStarted() throws {
        #expect(ProgramName.of("/usr/bin/hfbridge") == "hfbridge" && ProgramName.of("bridge") == "bridge")
        for path in ["", "/", "a b", "x;y", "Upper", "$(x)"] { #expect(ProgramName.of(path) == "bridge", "\(path)") }
        let scratch = try TemporaryDirectory()
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("hfbridge"),
            withDestinationPath: BridgeProcess.executable.path
        )
        let outcome = try BridgeProcess(
            ["--generate-completion-script", "fish"],
            shell: "shift; exec '\(scratch.path("hfbridge"))' \"$@\""
        ).wait()
        #expect(outcome.output.contains("hfbridge") && outcome.status == 0)
        let made = try BridgeProcess(["--generate-manual", scratch.path("man")]).wait()
        #expect(made.status == 0 && FileManager.default.fileExists(atPath: scratch.path("man/bridge-convert-import.1")))
        let refused = try BridgeProcess(["--generate-manual", "/proc/nothing"]).wait()
        #expect(refused.status == 1 && refused.sentence.contains("/proc/nothing"), "\(refused.errors)")
    }
}
