import ArgumentParser
import JSONTree

/// Which flags the program was given, before and whether or not the command line could be parsed.
///
/// Signals and errors of the parser have no parsed command to look at. A word of the list is not enough: a prompt may be
/// any text, `--json` too.
enum ArgumentList {
    /// Whether the result is to be JSON.
    static let wantsJSON = holds("--json")

    /// Whether a flag was given.
    static func holds(_ flag: String) -> Bool { holds(flag, in: Array(CommandLine.arguments.dropFirst())) }

    /// Whether a flag is among arguments, and not the value of an option or behind `--`.
    static func holds(_ flag: String, in arguments: [String]) -> Bool {
        guard arguments.contains(flag) else { return false }
        // Behind a word that is not an option it can only be the flag, and the commands need not be described.
        let isPlain = arguments.indices.contains {
            arguments[$0] == flag && $0 > 0 && !arguments[$0 - 1].hasPrefix("-")
        }
        if isPlain, !arguments.contains("--") { return true }
        var command = (try? JSON(parsing: Array(BridgeCommand._dumpHelp().utf8)))?["command"] ?? .null
        var index = 0
        while index < arguments.count {
            let word = arguments[index]
            index += 1
            if word == flag { return true }
            if word == "--" { return false }
            guard word.hasPrefix("-") else {
                command = subcommand(word, of: command) ?? command
                continue
            }
            if takesNext(word, arguments.dropFirst(index).first, command) { index += 1 }
        }
        return false
    }

    private static func subcommand(_ name: String, of command: JSON) -> JSON? {
        command["subcommands"]?.array?.first { $0["commandName"]?.string == name }
    }

    /// Whether an option takes the next word as its value.
    private static func takesNext(_ option: String, _ next: String?, _ command: JSON) -> Bool {
        let standIn = command["defaultSubcommand"]?.string.flatMap { subcommand($0, of: command) }
        let known = (command["arguments"]?.array ?? []) + (standIn?["arguments"]?.array ?? [])
        let found = known.first { argument in
            (argument["names"]?.array ?? []).contains { name in
                let dashes = name["kind"]?.string == "long" ? "--" : "-"
                return name["name"]?.string.map { dashes + $0 } == option
            }
        }
        guard found?["kind"]?.string == "option", let next else { return false }
        return found?["parsingStrategy"]?.string == "unconditional" || !next.hasPrefix("-")
    }
}
