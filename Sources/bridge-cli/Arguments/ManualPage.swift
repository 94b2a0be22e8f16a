import BridgeCore
import JSONTree

/// A manual page in the language mdoc.
struct ManualPage {
    /// The words of the command, the program first.
    private let words: [String]
    private let program: String
    private var lines: [String]
    /// The sections that a page has after its options, with their lines.
    private var late: [(title: String, lines: [String])] = []

    /// The page.
    var text: String { lines.joined(separator: "\n") + "\n" }

    init(words: [String], program: String, date: String) {
        (self.words, self.program) = (words, program)
        lines = [".Dd \(date)", ".Dt \(words.joined(separator: "-").uppercased()) 1", ".Os Bridge"]
    }

    mutating func addName(_ abstract: String) {
        lines += [".Sh NAME", ".Nm \(words.joined(separator: "-"))"]
        let sentence = abstract.hasSuffix(".") ? String(abstract.dropLast()) : abstract
        lines.append(".Nd \(sentence.split(separator: " ").map { Self.word(String($0)) }.joined(separator: " "))")
    }

    mutating func addSynopsis(_ arguments: [JSON], hasCommands: Bool) {
        let shown = Self.shown(arguments)
        lines += [".Sh SYNOPSIS", ".Nm \(words.joined(separator: " "))"]
        for argument in shown where Self.isNamed(argument) && argument["isOptional"] == .bool(false) {
            lines.append(".\(Self.name(argument))")
        }
        lines.append(".Op Ar options")
        for argument in shown where !Self.isNamed(argument) {
            let name =
                "Ar \(Self.word(argument["valueName"]?.string ?? ""))"
                + (argument["isRepeating"] == .bool(true) ? " ..." : "")
            lines.append(argument["isOptional"] == .bool(true) ? ".Op \(name)" : ".\(name)")
        }
        if hasCommands { lines += [".Ar command", ".Op Ar ..."] }
    }

    /// Paragraphs, and sections that begin with a line in capitals and a colon.
    mutating func addDescription(_ discussion: String) {
        var sections: [(title: String, lines: [String])] = [("DESCRIPTION", [])]
        for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasSuffix(":"), line.dropLast().allSatisfy({ $0.isUppercase || $0 == " " }), line.count > 1 {
                sections.append((String(line.dropLast()), []))
            } else {
                sections[sections.count - 1].lines.append(String(line))
            }
        }
        for (title, content) in sections {
            let formatted = format(content)
            guard !formatted.isEmpty else { continue }
            if title == "DESCRIPTION" {
                lines += [".Sh DESCRIPTION"] + formatted
            } else {
                late.append((title, formatted))
            }
        }
    }

    /// Paragraphs as text, indented lines as they are.
    private func format(_ content: [String]) -> [String] {
        var result: [String] = []
        var isLiteral = false
        for line in content {
            let isExample = line.hasPrefix("  ")
            if isExample != isLiteral, isExample || !line.isEmpty {
                result.append(isExample ? ".Bd -literal -offset indent" : ".Ed")
                isLiteral = isExample
            }
            if isExample {
                result.append(Self.literal(renamed(String(line.dropFirst(2)))))
            } else if !line.isEmpty {
                result.append(text(renamed(line)))
            } else if !isLiteral, !result.isEmpty {
                result.append(".Pp")
            }
        }
        if isLiteral { result.append(".Ed") }
        while result.last == ".Pp" { result.removeLast() }
        return result.enumerated().filter { index, line in
            // A display begins a paragraph itself.
            line != ".Pp" || !(result[index + 1].hasPrefix(".Bd"))
        }.map(\.element)
    }

    mutating func addCommands(_ commands: [JSON]) {
        guard !commands.isEmpty else { return }
        lines += [".Sh COMMANDS", ".Bl -tag -width Ds"]
        for command in commands {
            let name = command["commandName"]?.string ?? ""
            lines.append(".It Xr \((words + [name]).joined(separator: "-")) 1")
            lines.append(text(command["abstract"]?.string ?? ""))
        }
        lines.append(".El")
    }

    mutating func addOptions(_ arguments: [JSON]) {
        let shown = Self.shown(arguments)
        for (title, part) in [
            ("ARGUMENTS", shown.filter { !Self.isNamed($0) }), ("OPTIONS", shown.filter { Self.isNamed($0) }),
        ] where !part.isEmpty {
            lines += [".Sh \(title)", ".Bl -tag -width Ds"]
            for argument in part {
                lines.append(
                    ".It \(Self.isNamed(argument) ? Self.name(argument) : "Ar \(Self.word(argument["valueName"]?.string ?? ""))")"
                )
                lines.append(text(Self.help(argument)))
            }
            lines.append(".El")
        }
    }

    mutating func addEnvironment() {
        lines += [".Sh ENVIRONMENT", ".Bl -tag -width Ds"]
        for (name, meaning) in Self.variables { lines += [".It Ev \(name)", text(meaning)] }
        lines.append(".El")
    }

    /// The sections of the description that come last, and where to read on.
    mutating func addEnd() {
        let order = ["EXIT STATUS", "EXAMPLES"]
        for (title, content) in late.sorted(by: {
            (order.firstIndex(of: $0.title) ?? -1, $0.title) < (order.firstIndex(of: $1.title) ?? -1, $1.title)
        }) { lines += [".Sh \(title)"] + content }
        guard words.count > 1 else { return }
        lines += [".Sh SEE ALSO", ".Xr \(words.dropLast().joined(separator: "-")) 1"]
    }

    private static let variables = [
        ("BRIDGE_NUM_THREADS", "The number of threads of each process. (default: one per core)"),
        ("BRIDGE_MAX_CPU_ISA", "Limits the instructions that are used: PORTABLE, AVX2, AVX512, AVX512_BF16 or AMX."),
        ("BRIDGE_PLUGIN_PATH", "Directories with plugins, separated by colons; searched before that of the program."),
        ("HF_HOME", "The directory of all data of Hugging Face. (default: ~/.cache/huggingface)"),
        ("HF_HUB_CACHE", "The directory of downloaded repositories. (default: hub in HF_HOME)"),
        ("HF_TOKEN", "The token of the hub. (default: the one that 'hf auth login' stored)"),
        ("HF_ENDPOINT", "The address of the hub. (default: https://huggingface.co)"),
        ("HF_HUB_OFFLINE", "With 1 nothing is requested from the hub."),
        ("NO_COLOR", "Without colours on a terminal when it is set."),
    ]

    // MARK: Arguments

    private static func shown(_ arguments: [JSON]) -> [JSON] {
        arguments.filter { $0["shouldDisplay"] != .bool(false) }
    }

    private static func isNamed(_ argument: JSON) -> Bool { argument["kind"]?.string != "positional" }

    /// All names of an option and its value, as macros.
    private static func name(_ argument: JSON) -> String {
        let names = (argument["names"]?.array ?? []).map { name in
            let word = name["name"]?.string ?? ""
            return name["kind"]?.string == "long" ? "Fl -\(word)" : "Fl \(word)"
        }
        let value = argument["kind"]?.string == "option" ? " Ar \(word(argument["valueName"]?.string ?? ""))" : ""
        return names.joined(separator: " , ") + value
    }

    /// What an argument does, its values and its default.
    private static func help(_ argument: JSON) -> String {
        let text = argument["abstract"]?.string ?? ""
        let values = (argument["allValues"]?.array ?? []).compactMap(\.string)
        var more: [String] = []
        if !values.isEmpty, !values.allSatisfy({ text.contains($0) }) {
            more.append("values: \(values.joined(separator: ", "))")
        }
        if let standard = argument["defaultValue"]?.string, !text.contains("(default:") {
            more.append("default: \(standard)")
        }
        return more.isEmpty ? text : "\(text) (\(more.joined(separator: "; ")))"
    }

    // MARK: Text

    /// An argument of a macro that is not taken for a macro itself, whose names have two or three letters.
    private static func word(_ text: String) -> String {
        let word = escaped(text.replacing(" ", with: "-"))
        return word.count > 3 ? word : "\\&\(word)"
    }

    /// Text, each sentence on a line of its own, as the formatter of pages expects it.
    private func text(_ text: String) -> String {
        text.replacing(/([.!?]['")]?) +/) { "\($0.1)\n" }.split(separator: "\n").map { Self.literal(String($0)) }
            .joined(separator: "\n")
    }

    /// A line that is not taken for a macro.
    private static func literal(_ line: String) -> String {
        let escaped = escaped(line)
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&\(escaped)" : escaped
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
    }

    /// A line with the name of the program that the pages are for.
    private func renamed(_ line: String) -> String {
        line.replacing(#/(^|[ '(|])bridge (?=[a-z-])/#) { "\($0.1)\(program) " }
    }
}
