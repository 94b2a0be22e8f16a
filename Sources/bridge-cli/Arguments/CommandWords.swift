import ArgumentParser

/// The command line, read once: which command it names, its options by their main names, and how to print.
///
/// The parser checks values before unknown options; here an unknown command or option is found first.
struct CommandWords {
    /// The arguments.
    let typed: [String]
    /// The arguments for the parser, with main names of options.
    private(set) var words: [String] = []
    /// The command.
    private(set) var command: any ParsableCommand.Type = BridgeCommand.self
    /// How to print.
    private(set) var mode = OutputMode()
    /// The problem of the command line, as a sentence; the parser checks values.
    private(set) var problem: String?

    /// Whether the version is requested as JSON; without `--json` the parser prints it.
    var asksForVersionReport: Bool { typed.count == 2 && Set(typed) == ["--version", "--json"] }

    /// Reads the arguments after the name of the program.
    init(_ typed: [String]) {
        self.typed = typed
        // Completion requests of the shell have their own syntax, for the parser.
        guard typed.first != "---completion" else {
            words = typed
            return
        }
        var rest = typed[...]
        readCommand(&rest)
        readOptions(rest)
    }

    /// The names of the command, such as `bridge convert import`.
    var commandName: String { Self.names(of: command).joined(separator: " ") }

    private static func names(of command: any ParsableCommand.Type) -> [String] {
        func path(from parent: any ParsableCommand.Type) -> [String]? {
            if parent == command { return [parent._commandName] }
            for child in parent.configuration.subcommands {
                if let rest = path(from: child) { return [parent._commandName] + rest }
            }
            return nil
        }
        return path(from: BridgeCommand.self) ?? []
    }

    private mutating func readCommand(_ rest: inout ArraySlice<String>) {
        while true {
            let subcommands = command.configuration.subcommands
            guard !subcommands.isEmpty else { return }
            if let word = rest.first, let next = subcommands.first(where: { $0._commandName == word }) {
                words.append(rest.removeFirst())
                command = next
                continue
            }
            if let word = rest.first, !word.hasPrefix("-"), word != "help" {
                problem = unknownCommand(word, among: subcommands.map { $0._commandName })
                rest.removeFirst()
            }
            guard problem == nil, rest.first != "help", let standard = command.configuration.defaultSubcommand else {
                return
            }
            command = standard
        }
    }

    private func unknownCommand(_ word: String, among names: [String]) -> String {
        let parent = commandName
        let known = OptionAdvice.command(word, among: names)
        return "'\(word)' is not a command of '\(parent)'\(known ?? "; '\(parent) --help' lists them")"
    }

    private mutating func readOptions(_ rest: ArraySlice<String>) {
        var rest = rest
        // Described when an option is met: the parser describes all subcommands of a command too.
        lazy var options = CommandOptions(command)
        var given: [String: String] = [:]
        let canAsk = !command.configuration.subcommands.isEmpty
        var asksForHelp = canAsk && rest.first == "help"
        while let word = rest.popFirst() {
            if word == "--" {
                words += [word] + rest
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                words.append(word)
                continue
            }
            if Self.builtIn.contains(word) || word.hasPrefix("--generate-completion-script") {
                asksForHelp = true
                words.append(word)
                continue
            }
            let isLong = word.hasPrefix("--")
            let parts = word.drop { $0 == "-" }.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts.first.map(String.init) ?? ""
            let found = isLong ? OptionSpellings.name(of: name, among: options.names) : nil
            guard let value = isLong ? found.flatMap({ options.value(ofLong: $0) }) : options.value(ofShort: name)
            else {
                if name == "json" { mode.json = true }
                // A negative number is an unexpected value of the option before; the parser reports the option.
                if isLong || Double(word) == nil { problem = problem ?? unknownOption(word, name, options) }
                words.append(word)
                continue
            }
            note(found ?? name)
            words.append(found.map { parts.count > 1 ? "--\($0)=\(parts[1])" : "--\($0)" } ?? word)
            var text = parts.count > 1 ? String(parts[1]) : nil
            if text == nil, let next = rest.first, next != "--",
                value == .anyWord || value == .word && (!next.hasPrefix("-") || next == "-")
            {
                words.append(rest.removeFirst())
                text = next
            }
            guard let text, let option = options.singleOption(found.map { "--\($0)" } ?? "-\(name)") else { continue }
            if let other = given.updateValue(text, forKey: option), other != text {
                problem = problem ?? OptionAdvice.repeated(option, [other, text], options)
            }
        }
        if asksForHelp { problem = nil }
    }

    private mutating func note(_ option: String) {
        switch option {
        case "json": mode.json = true
        case "no-progress": mode.allowsProgress = false
        case "verbose", "v": mode.isVerbose = true
        default: break
        }
    }

    private func unknownOption(_ word: String, _ name: String, _ options: CommandOptions) -> String {
        let advice = OptionAdvice.option(name, of: commandName, options)
        let shown = word.split(separator: "=", maxSplits: 1).first.map(String.init) ?? word
        return "\(shown) is not an option of '\(commandName)'\(advice)"
    }

    private static let builtIn: Set<String> = [
        "-h", "-help", "--help", "--help-hidden", "--version", "--experimental-dump-help",
    ]
}
