import ArgumentParser
import BridgeCore
import Foundation
import JSONTree

/// The manual pages, from the program's own description of its commands.
struct ManualPages {
    /// The files: a page for the program and one for each command, by their names.
    private(set) var files: [(name: String, text: String)] = []

    private let program: String
    private let date: String
    private static let flag = "--generate-manual"

    /// Writes the pages to the directory after the flag.
    ///
    /// - Returns: Whether the arguments ask for it.
    /// - Throws: `BridgeError` when a page cannot be written.
    static func write(askedBy arguments: [String]) throws -> Bool {
        guard arguments.count == 2, arguments[0] == flag else { return false }
        // A build that can be repeated has the date of its sources.
        let seconds = ProcessInfo.processInfo.environment["SOURCE_DATE_EPOCH"].flatMap { Double($0) }
        let date = seconds.map { Date(timeIntervalSince1970: $0) } ?? Date()
        let pages = try ManualPages(program: ProgramName.current, help: BridgeCommand._dumpHelp(), date: date)
        try Files.createDirectory(arguments[1])
        for (name, text) in pages.files { try Files.write(Array(text.utf8), to: Files.join(arguments[1], name)) }
        return true
    }

    /// The pages.
    ///
    /// - Parameters:
    ///   - program: The name of the program.
    ///   - help: The description, as `--experimental-dump-help` prints it.
    ///   - date: The date of the pages.
    /// - Throws: `JSONError` for another description.
    init(program: String, help: String, date: Date) throws {
        self.program = program
        self.date = date.formatted(
            .verbatim(
                "\(month: .wide) \(day: .defaultDigits), \(year: .defaultDigits)",
                locale: Locale(identifier: "en_US_POSIX"),
                timeZone: .gmt,
                calendar: Calendar(identifier: .gregorian)
            )
        )
        add(try JSON(parsing: Array(help.utf8))["command"] ?? .null, [program])
    }

    private mutating func add(_ command: JSON, _ words: [String]) {
        let commands = Self.subcommands(command)
        var page = ManualPage(words: words, program: program, date: date)
        page.addName(command["abstract"]?.string ?? "")
        page.addSynopsis(command["arguments"]?.array ?? [], hasCommands: !commands.isEmpty)
        page.addDescription(command["discussion"]?.string ?? "")
        page.addCommands(commands)
        page.addOptions(command["arguments"]?.array ?? [])
        if words.count == 1 { page.addEnvironment() }
        page.addEnd()
        files.append(("\(words.joined(separator: "-")).1", page.text))
        for command in commands { add(command, words + [command["commandName"]?.string ?? ""]) }
    }

    private static func subcommands(_ command: JSON) -> [JSON] {
        (command["subcommands"]?.array ?? []).filter {
            $0["commandName"]?.string != "help" && $0["shouldDisplay"] != .bool(false)
        }
    }
}
