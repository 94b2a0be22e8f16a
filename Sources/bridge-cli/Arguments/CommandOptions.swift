import ArgumentParser
import JSONTree

/// The options that a command declares, as the parser describes them.
struct CommandOptions {
    /// How an option finds its value.
    enum Value {
        /// It is a flag.
        case none
        /// The next argument, unless it starts with a hyphen.
        case word
        /// The next argument, unconditionally.
        case anyWord
    }

    private var long: [String: Value] = [:]
    private var short: [String: Value] = [:]
    /// The main name of each option that takes one value, by all of its names; with dashes.
    private var single: [String: String] = [:]
    /// Whether settings of a recipe, `section.key=value`, are arguments.
    private(set) var takesSettings = false

    /// The options of a command.
    init(_ command: any ParsableCommand.Type) {
        let description = try? JSON(parsing: Array(command._dumpHelp().utf8))
        for argument in description?[path: "command.arguments"]?.array ?? [] {
            if argument["valueName"]?.string == RecipeChanges.settingName { takesSettings = true }
            guard let kind = argument["kind"]?.string, kind != "positional" else { continue }
            let value: Value =
                kind == "flag" ? .none : argument["parsingStrategy"]?.string == "unconditional" ? .anyWord : .word
            let takesOne = kind == "option" && argument["isRepeating"] != true
            let names = argument["names"]?.array ?? []
            let main = (names.first { $0["kind"]?.string == "long" } ?? names.first).map(Self.spelling) ?? ""
            for name in names {
                guard let text = name["name"]?.string else { continue }
                if takesOne { single[Self.spelling(name)] = main }
                // Options such as -tp have several letters behind one hyphen.
                if name["kind"]?.string == "long" { long[text] = value } else { short[text] = value }
            }
        }
    }

    private static func spelling(_ name: JSON) -> String {
        (name["kind"]?.string == "long" ? "--" : "-") + (name["name"]?.string ?? "")
    }

    /// The main name of an option that takes one value, with dashes; nil for one that may be repeated, and for a flag.
    func singleOption(_ name: String) -> String? { single[name] }

    /// The long names, without dashes.
    var names: Set<String> { Set(long.keys) }

    /// How a long option finds its value; nil for one that is not declared.
    func value(ofLong name: String) -> Value? { long[name] }

    /// How the options after one hyphen find their value, that of the last one; nil when one is not declared.
    func value(ofShort letters: some StringProtocol) -> Value? {
        if let value = short[String(letters)] { return value }
        let values = letters.map { short[String($0)] }
        return values.contains { $0 == nil } ? nil : values.last ?? nil
    }
}
