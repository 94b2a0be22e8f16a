import ArgumentParser
import BridgeCore
import JSONTree

/// Lists the architectures.
struct Models: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the architectures that can be converted.")

    @OptionGroup var plugins: PluginOptions

    @OptionGroup var output: OutputOptions

    func run() throws {
        let catalog = try plugins.catalog()
        let rows = catalog.plugins.flatMap { plugin in
            plugin.plugin.bridges.flatMap { bridge in bridge.architectures.map { ($0, bridge, plugin) } }
        }
        if output.json {
            return Output.json(
                .array(
                    rows.map { architecture, bridge, plugin in
                        [
                            "architecture": .string(architecture), "family": .string(bridge.name),
                            "plugin": .string(plugin.name),
                            "conversion_only": bridge.conversionOnly.map { .string($0) } ?? .null,
                            "sizes": .array(bridge.toy.realSizes.map { .string($0.name) }),
                        ]
                    }
                )
            )
        }
        Output.table(
            [["ARCHITECTURE", "FAMILY", "PLUGIN", "PUBLISHED SIZES"]]
                + rows.map { architecture, bridge, plugin in
                    [
                        architecture,
                        bridge.conversionOnly == nil ? bridge.name : "\(bridge.name) (converted, not run)",
                        "\(plugin.name) \(plugin.version)",
                        bridge.toy.realSizes.map(\.name).joined(separator: ", "),
                    ]
                }
        )
    }
}
