import ArgumentParser
import BridgeCore
import Foundation
import JSONTree

/// The plugins and their tables.
struct Plugins: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the plugins, what they map, and why one does not load.",
        discussion: """
            Plugins are found at --plugin, in the directories of BRIDGE_PLUGIN_PATH, and beside the program, in this order.

            EXAMPLES:
              bridge plugins list
              bridge plugins doctor build/libMyFamilyPlugin.so
              bridge plugins describe mistral
              bridge plugins describe gemma3 --settings
            """,
        subcommands: [List.self, Doctor.self, Describe.self]
    )

    /// What was found.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the plugins that are loaded.")

        @OptionGroup var plugins: PluginOptions

        @Flag(name: .long, help: "Print the result as JSON.")
        var json = false

        func run() throws {
            let catalog = try plugins.catalog()
            if json {
                return Output.json(
                    .array(
                        catalog.plugins.map { plugin in
                            [
                                "name": .string(plugin.name), "version": .string(plugin.version),
                                "path": .string(plugin.path),
                                "families": .array(plugin.plugin.bridges.map { .string($0.name) }),
                            ]
                        }
                    )
                )
            }
            Output.table(
                [["PLUGIN", "VERSION", "FAMILIES", "FILE"]]
                    + catalog.plugins.map { plugin in
                        [
                            plugin.name, plugin.version, plugin.plugin.bridges.map(\.name).joined(separator: ", "),
                            plugin.path,
                        ]
                    }
            )
        }
    }

    /// Why a file does not load.
    struct Doctor: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Load plugins one by one and report the errors of each."
        )

        @Argument(help: "Files to try; without any, all that are found.", completion: .file(extensions: ["so"]))
        var files: [String] = []

        func run() throws {
            Output.line(
                "Bridge \(PluginLoader.coreBuild), plugin ABI \(PluginLoader.abiVersion), \(PluginLoader.compiler)"
            )
            for line in VersionReport.lines { Output.line(line) }
            var paths = files
            if paths.isEmpty {
                for directory in PluginOptions.directories {
                    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted() ?? []
                    let found = names.filter { $0.hasPrefix("lib") && $0.hasSuffix("Plugin.so") }
                    Output.line("\(directory): \(found.count) plugins")
                    paths += found.map { "\(directory)/\($0)" }
                }
            }
            var broken = 0
            for path in paths {
                do {
                    let plugin = try PluginLoader.load(path)
                    Output.line("✅ \(path): \(plugin.name) \(plugin.version), built against \(plugin.coreBuild)")
                } catch let error as BridgeError {
                    broken += 1
                    Output.line("❌ \(error.message)")
                }
            }
            // Also says when two claim one architecture.
            _ = try PluginCatalog(files: files, directories: PluginOptions.directories)
            guard broken == 0 else {
                throw BridgeError(.badPlugin, "\(broken) of \(paths.count) plugins cannot be used")
            }
        }
    }

    /// The tables of a family.
    struct Describe: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a family's architectures and both of its tables."
        )

        @Argument(help: "The name of a plugin or of a family.")
        var name: String

        @Flag(
            name: .long,
            help: "Show every key of the family's settings files and how it is accounted for, instead of the tables."
        )
        var settings = false

        @Flag(name: .long, help: "With --settings: print Markdown, as the documentation has it.")
        var markdown = false

        @Flag(name: .long, help: "With --settings: print the keys by file as JSON.")
        var json = false

        @OptionGroup var plugins: PluginOptions

        func run() throws {
            let catalog = try plugins.catalog()
            let bridges =
                catalog.plugins.filter { $0.name == name }.flatMap(\.plugin.bridges)
                + catalog.bridges.filter { $0.name == name }
            guard let bridge = bridges.first else {
                let known = Set(catalog.plugins.map(\.name) + catalog.bridges.map(\.name)).sorted().joined(
                    separator: ", "
                )
                throw BridgeError(.badArgument, "there is no plugin or family \(name); there are \(known)")
            }
            guard !settings else { return show(bridge.settings) }
            guard !markdown, !json else {
                throw BridgeError(.badArgument, "--markdown and --json are for --settings; add it")
            }
            let description = try FamilyDescription(bridge)
            Output.line("family         \(bridge.name)")
            Output.line("architectures  \(bridge.architectures.joined(separator: ", "))")
            Output.line("toy sizes      \(bridge.toy.realSizes.map(\.name).joined(separator: ", "))")
            Output.lines("\nCONFIGURATION")
            Output.table([["config.json", "Megatron", "when absent"]] + description.configuration, indent: "  ")
            Output.lines("\nPARAMETERS (with the sizes of the toy)")
            Output.table(
                [["Megatron", "Hugging Face", "shape", "split", "stage", "how"]] + description.parameters,
                indent: "  "
            )
            for keyMapping in bridge.keyMappings {
                Output.line()
                Output.line("ALSO NAMED BY \(keyMapping.name)")
                Output.table(keyMapping.prefixes.map { ["\($0.table)...", "\($0.keyMapping)..."] }, indent: "  ")
            }
        }

        private func show(_ tables: [SettingsTable]) {
            guard !json else {
                let files = tables.map { table -> (String, JSON) in
                    let keys = table.settings.map { setting -> (String, JSON) in
                        let (word, detail) = (setting.verdict.word, setting.verdict.detail)
                        return (setting.key, ["verdict": .string(word), "detail": .string(detail)])
                    }
                    return (table.file, .object(JSONObject(keys)))
                }
                return Output.json(.object(JSONObject(files)))
            }
            for table in tables {
                let rows = table.settings.map { [$0.key, $0.verdict.word, $0.verdict.detail] }
                guard markdown else {
                    Output.line("\(table.file) (\(table.source))")
                    Output.table(rows, indent: "  ")
                    Output.line()
                    continue
                }
                Output.lines("#### \(table.file)\n\n\(table.source)\n\n| Key | Verdict | |\n|---|---|---|")
                for row in rows { Output.line("| `\(row[0])` | \(row[1]) | \(row[2]) |") }
                Output.line()
            }
        }
    }
}
