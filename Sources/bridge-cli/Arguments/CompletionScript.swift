import ArgumentParser

/// The completions of shells.
///
/// ArgumentParser ignores the default subcommand, and users rarely type `convert import`.
enum CompletionScript {
    private static let flag = "--generate-completion-script"

    /// The requested script; nil if none is requested, or the shell is unknown.
    static func asked(by arguments: ArraySlice<String>) -> String? {
        guard let first = arguments.first, first == flag || first.hasPrefix(flag + "="), arguments.count <= 2 else {
            return nil
        }
        let name = first == flag ? arguments.dropFirst().first : String(first.dropFirst(flag.count + 1))
        let shell = name == nil ? CompletionShell.autodetected() : name.flatMap { CompletionShell(rawValue: $0) }
        return shell.map { Root.completionScript(for: $0) }
    }

    /// The commands, of which `convert` has the options of its default subcommand.
    private struct Root: ParsableCommand {
        static var configuration: CommandConfiguration {
            let own = BridgeCommand.configuration
            return CommandConfiguration(
                commandName: ProgramName.current,
                abstract: own.abstract,
                version: own.version,
                subcommands: own.subcommands.map { $0 == Convert.self ? ConvertWithOptions.self : $0 }
            )
        }
    }

    private struct ConvertWithOptions: ParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "convert",
                abstract: Convert.configuration.abstract,
                subcommands: Convert.configuration.subcommands
            )
        }

        @OptionGroup var options: Import
    }
}
