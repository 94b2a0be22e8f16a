import ArgumentParser
import TestSupport
import Testing

@testable import bridge

/// The help of every command, in the process that runs the tests.
@Suite struct HelpTextTests {
    /// Every command, the hidden ones among them.
    private static let commands: [any ParsableCommand.Type] = {
        func below(_ command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
            [command] + command.configuration.subcommands.flatMap { below($0) }
        }
        return below(BridgeCommand.self)
    }()

    /// The lines of a command's examples.
    private func exampleLines(_ command: any ParsableCommand.Type) -> [String] {
        let lines = command.configuration.discussion.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.drop { $0 != "EXAMPLES:" }.dropFirst().prefix { $0.hasPrefix("  ") }.map(String.init)
    }

    /// The words of an example as the shell splits them.
    private func words(_ example: String) -> [String] {
        var words: [String] = []
        var isOpen = false
        var isQuoted = false
        for character in example {
            switch character {
            case "'":
                isQuoted.toggle()
                if !isOpen { words.append("") }
                isOpen = true
            case " " where !isQuoted: isOpen = false
            default:
                if !isOpen { words.append("") }
                isOpen = true
                words[words.count - 1].append(character)
            }
        }
        if let comment = words.firstIndex(where: { $0.hasPrefix("#") }) { words.removeSubrange(comment...) }
        return words
    }

    @Test func everyExampleFitsInto80ColumnsAndIsACommandLine() throws {
        var count = 0
        for command in Self.commands {
            var example = ""
            for line in exampleLines(command) {
                #expect(line.count <= 80, "\(command._commandName): \(line)")
                example += line
                if example.hasSuffix("\\") {
                    example.removeLast()
                    continue
                }
                let typed = words(example)
                example = ""
                count += 1
                #expect(typed.first == "bridge")
                let read = CommandWords(Array(typed.dropFirst()))
                #expect(read.problem == nil, "\(typed)")
                #expect(throws: Never.self, "\(typed)") { _ = try BridgeCommand.parseAsRoot(read.words) }
            }
            #expect(example.isEmpty)
        }
        #expect(count > 45)
    }

    @Test func paragraphsAreBrokenByTheTerminalAlone() {
        for command in Self.commands {
            let lines = command.configuration.discussion.split(separator: "\n", omittingEmptySubsequences: false)
            for (line, next) in zip(lines, lines.dropFirst()) where line.count > 80 {
                #expect(next.isEmpty || next.hasPrefix(" "), "\(command._commandName): \(line)")
            }
        }
    }

    @Test func aCommandThatPrintsAResultPrintsItAsJSONToo() {
        // A conversation has no result, and the hidden commands print nothing else.
        let without: Set<String> = ["chat", "prompt", "strings", "requests"]
        for command in Self.commands where command.configuration.subcommands.isEmpty {
            let name = command._commandName
            #expect(CommandOptions(command).names.contains("json") != without.contains(name), "\(name)")
        }
    }

    @Test func strictIsAnOptionWhereAModelIsRead() {
        func takes(_ line: String) -> Bool {
            CommandOptions(CommandWords(line.split(separator: " ").map(String.init)).command).names.contains("strict")
        }
        for line in [
            "convert", "convert export", "verify", "inspect", "generate", "train", "data check", "adapter merge",
        ] {
            #expect(takes(line), "\(line)")
        }
        for line in [
            "models", "plugins list", "plugins describe", "recipes list", "recipes check", "toy", "reshard", "hub ls",
        ] {
            #expect(!takes(line), "\(line)")
        }
    }
}
