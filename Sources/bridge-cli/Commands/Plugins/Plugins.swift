import ArgumentParser
import BridgeCore
import Diagnosis
import Foundation
import JSONTree

/// Shows the plugins and their tables.
struct Plugins: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show plugins, their tables and problems; create and test new ones.",
        discussion: """
            Plugins are searched in --plugin, in the directories of BRIDGE_PLUGIN_PATH and next to the program, in this order.

            EXAMPLES:
              bridge plugins list
              bridge plugins doctor build/libMyFamilyPlugin.so
              bridge plugins describe mistral
              bridge plugins describe gemma3 --settings
              bridge plugins new MyFamily --from model
              bridge plugins test build/libMyFamilyPlugin.so
            """,
        subcommands: [List.self, Doctor.self, Describe.self, New.self, Test.self]
    )

    /// Lists the loaded plugins.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the plugins that are loaded.")

        @OptionGroup var plugins: PluginOptions

        @OptionGroup var output: OutputOptions

        func run() throws {
            let catalog = try plugins.catalog()
            if output.json {
                return Output.json(
                    .array(
                        catalog.plugins.map { plugin in
                            [
                                "name": .string(plugin.name), "version": .string(plugin.version),
                                "path": .string(plugin.path),
                                "families": .array(plugin.plugin.bridges.map { .string($0.name) }),
                                "kernels": .array(plugin.kernels.map { .string($0.name) }),
                            ]
                        }
                    )
                )
            }
            Output.table(
                [["PLUGIN", "VERSION", "FAMILIES", "KERNELS", "FILE"]]
                    + catalog.plugins.map { plugin in
                        [
                            plugin.name, plugin.version, plugin.plugin.bridges.map(\.name).joined(separator: ", "),
                            plugin.kernels.map(\.name).joined(separator: ", "), plugin.path,
                        ]
                    }
            )
        }
    }

    /// Reports why a plugin does not load.
    struct Doctor: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Load plugins one by one and report the problems of each."
        )

        @Argument(help: "Plugin files. (default: all that are found)", completion: .file(extensions: ["so"]))
        var files: [String] = []

        @OptionGroup var output: OutputOptions

        func run() throws {
            output.say(
                "Bridge \(PluginLoader.coreBuild), plugin ABI \(PluginLoader.abiVersion), \(PluginLoader.compiler)"
            )
            for line in VersionReport.lines { output.say(line) }
            var paths = files
            if paths.isEmpty {
                for directory in PluginOptions.directories {
                    let found = PluginCheck.files(in: directory)
                    output.say("\(directory): \(found.count) plugins")
                    paths += found
                }
            }
            var problems = JSONObject()
            for path in paths {
                do {
                    let plugin = try PluginLoader.load(path, triesFirst: true)
                    let kernels = plugin.kernels.map(\.name).joined(separator: ", ")
                    output.say(
                        "✅ \(path): \(plugin.name) \(plugin.version), built against \(plugin.coreBuild)"
                            + (kernels.isEmpty ? "" : ", kernels \(kernels)")
                    )
                } catch let error as BridgeError {
                    problems[path] = .string(error.message)
                    output.say("❌ \(error.message)")
                }
            }
            if output.json {
                var report = VersionReport.json
                report.set(.array(paths.map { .string($0) }), at: "files")
                report.set(.object(problems), at: "problems")
                Output.json(report)
            }
            // Also fails when two plugins claim one architecture.
            _ = try PluginCatalog(files: files, directories: PluginOptions.directories, triesFirst: true)
            guard problems.isEmpty else {
                throw BridgeError(.badPlugin, "\(problems.count) of \(paths.count) plugins cannot be used")
            }
        }
    }

    /// The tables of a family.
    struct Describe: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a family's architectures and both of its tables."
        )

        @Argument(help: "The name of a plugin or of a family.", completion: CompletionValues.families)
        var name: String

        @Flag(
            name: .long,
            help: "Show all keys of the family's settings files, instead of the tables."
        )
        var settings = false

        @Flag(name: .long, help: "With --settings: print Markdown, as in the documentation.")
        var markdown = false

        @OptionGroup var output: OutputOptions

        @OptionGroup var plugins: PluginOptions

        func validate() throws {
            if markdown, !settings { throw ValidationError("--markdown prints the settings; add --settings") }
            if markdown, output.json { throw ValidationError("give either --markdown or --json") }
        }

        func run() throws {
            let catalog = try plugins.catalog()
            let bridges =
                catalog.plugins.filter { $0.name == name }.flatMap(\.plugin.bridges)
                + catalog.bridges.filter { $0.name == name }
            guard let bridge = bridges.first else {
                let known = Set(catalog.plugins.map(\.name) + catalog.bridges.map(\.name)).sorted()
                let hint = NearestName.first(of: name, among: known).map { ", did you mean \($0)?" } ?? ""
                throw BridgeError(
                    .badArgument,
                    "there is no plugin or family \(name)\(hint.isEmpty ? "; there are \(known.joined(separator: ", "))" : hint)"
                )
            }
            guard !settings else { return show(bridge.settings) }
            let description = try FamilyDescription(bridge)
            if output.json { return Output.json(Self.json(bridge, description)) }
            Output.line("family         \(bridge.name)")
            Output.line("architectures  \(bridge.architectures.joined(separator: ", "))")
            if let reason = bridge.conversionOnly { Output.line("runs           no, only conversions: \(reason)") }
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

        private static func json(_ bridge: any ModelBridge, _ description: FamilyDescription) -> JSON {
            func rows(_ rows: [[String]], _ keys: [String]) -> JSON {
                .array(rows.map { row in .object(JSONObject(zip(keys, row).map { ($0, .string($1)) })) })
            }
            return [
                "family": .string(bridge.name), "architectures": .array(bridge.architectures.map { .string($0) }),
                "conversion_only": bridge.conversionOnly.map { .string($0) } ?? .null,
                "sizes": .array(bridge.toy.realSizes.map { .string($0.name) }),
                "configuration": rows(description.configuration, ["hugging_face", "megatron", "when_absent"]),
                "parameters": rows(
                    description.parameters,
                    ["megatron", "hugging_face", "shape", "split", "stage", "transform"]
                ),
            ]
        }

        private func show(_ tables: [SettingsTable]) {
            guard !output.json else {
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
