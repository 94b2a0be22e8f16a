import ArgumentParser
import BridgeCore
import JSONTree
import PluginScaffold

extension Plugins {
    /// Writes the package of a new plugin.
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a Swift package for the plugin of a new family.",
            discussion: """
                The package builds against the sources that this program was built from. With --from the tables are drafted \
                from the configuration and the tensors of a Hugging Face directory. Lines marked with GUESS have to be \
                checked against the reference program.

                EXAMPLES:
                  bridge plugins new MyFamily
                  bridge plugins new MyFamily --from model --output ~/plugins/MyFamily
                """
        )

        @Argument(help: "The name of the family, with a capital letter; the types of the plugin begin with it.")
        var name: String

        @Option(
            name: .customLong("from"),
            help: ArgumentHelp("A Hugging Face directory of a model of the family.", valueName: "directory"),
            completion: .directory
        )
        var source: String?

        @Option(
            name: .long,
            help: ArgumentHelp("Directory of the package. (default: the name)", valueName: "directory"),
            completion: .directory
        )
        var output: String?

        @Option(
            name: .customLong("bridge-source"),
            help: ArgumentHelp(
                "Directory with the sources of Bridge. (default: that of this program)",
                valueName: "directory"
            ),
            completion: .directory
        )
        var bridgeSource: String?

        @OptionGroup var printing: OutputOptions

        func run() throws {
            try PluginPackage.check(name)
            let draft = try source.map { try FamilyDraft(name: name, from: $0) } ?? FamilyDraft(name: name)
            let directory = output ?? name
            let sources = try sourceDirectory()
            let package = try PluginPackage(
                name: name,
                draft: draft,
                source: PluginPackage.path(to: sources, from: directory)
            )
            try package.write(to: directory)
            warnOfAnotherPlugin(for: draft.architecture, family: name.lowercased())
            guard !printing.json else {
                return Output.json([
                    "directory": .string(directory), "guesses": JSON(package.guesses),
                    "files": .array(package.files.map { .string($0.path) }),
                ])
            }
            printing.say("✅ Created the plugin package \(directory)")
            for file in package.files { printing.say("   \(file.path)") }
            printing.say("   \(package.guesses) lines are marked with \(FamilyDraft.mark) and have to be checked")
            printing.say("")
            printing.say("swift build --package-path \(directory) -c release")
            printing.say("bridge plugins test \(directory)/.build/release/lib\(name)Plugin.so")
            printing.say("")
            printing.say(
                "The first build takes minutes, because it builds the core. What the tables and the model consist of:"
            )
            printing.say(Files.join(sources, "Sources/BridgeCore/BridgeCore/Documentation.docc/AddAModel.md"))
        }

        /// Two plugins with one architecture or one family's name are an error as soon as both are loaded.
        private func warnOfAnotherPlugin(for architecture: String, family: String) {
            let loaded = try? PluginCatalog(files: [], directories: PluginOptions.directories)
            for plugin in loaded?.plugins ?? [] {
                for bridge in plugin.plugin.bridges {
                    let isSame = bridge.architectures.contains(architecture)
                    guard isSame || bridge.name == family else { continue }
                    return Output.warn(
                        "\(plugin.path) has the \(isSame ? "architecture \(architecture)" : "family \(family)") too, and two plugins with "
                            + "one architecture or family are refused; test the new one with 'bridge plugins test', which loads no other"
                    )
                }
            }
        }

        private func sourceDirectory() throws -> String {
            if let bridgeSource {
                guard PluginPackage.isSource(bridgeSource) else {
                    throw BridgeError(
                        .badArgument,
                        "\(bridgeSource) has no Sources/BridgeCore/Package.swift; give the directory of the sources of Bridge"
                    )
                }
                return bridgeSource
            }
            guard let found = PluginPackage.source(above: "/proc/self/exe") else {
                throw BridgeError(
                    .badArgument,
                    "no directory above this program has the sources of Bridge; give it with --bridge-source"
                )
            }
            return found
        }
    }
}
