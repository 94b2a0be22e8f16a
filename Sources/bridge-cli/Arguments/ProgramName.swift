import ArgumentParser

/// The name that the program was started with, for what shells and manuals know it by.
enum ProgramName {
    /// For example `hfbridge`, the name of an installed link.
    static let current = of(CommandLine.arguments.first ?? "")

    /// The name in a path; that of the program when it is not a plain word.
    static func of(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        return name.wholeMatch(of: #/[a-z][a-z0-9-]*/#) == nil ? BridgeCommand.configuration.commandName ?? "" : name
    }
}
