import ArgumentParser
import BridgeCore
import TensorRuntime

/// Converts a Megatron checkpoint to another layout.
struct Reshard: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change the layout of a Megatron checkpoint: shard it across other ranks.",
        discussion: """
            The checkpoint of a training run keeps the optimizer's state, and the run can resume from the result. \
            Training also loads a checkpoint of any other layout by itself.

            EXAMPLES:
              bridge reshard --megatron-path toy-megatron --output toy-tp4 --tp 4
              bridge reshard --megatron-path toy-megatron --output toy-pp2 \\
                --num-layers-per-stage 2,3
              bridge reshard --megatron-path toy-megatron --output toy-dist \\
                --format torch_dist
            """
    )

    @Option(
        name: .customLong("megatron-path"),
        help: ArgumentHelp("The checkpoint: an iteration, or a directory with iterations.", valueName: "directory"),
        completion: .directory
    )
    var megatronPath: String

    @Option(name: .long, help: ArgumentHelp("Output directory.", valueName: "directory"), completion: .directory)
    var output: String

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The Hugging Face model of a checkpoint that does not describe its own.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var model: String?

    @OptionGroup var layout: LayoutOptions
    @OptionGroup var container: ContainerOptions<MegatronFormat>
    @OptionGroup var arguments: ConversionArguments
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var printing: RunOptions

    func validate() throws {
        guard arguments.allowMissing.isEmpty else {
            throw ValidationError(
                "--allow-missing has no effect: resharding copies every parameter of the checkpoint"
            )
        }
    }

    /// Only another container needs the plugin of the model.
    private func plan(_ checkpoint: NativeCheckpoint, _ options: ConversionOptions) throws -> ConversionPlan {
        guard checkpoint.container != .native || options.container != .native else {
            if model != nil { Output.warn("--hf-model has no effect: \(megatronPath) describes its model") }
            return try checkpoint.reshardPlan(options)
        }
        let catalog = try plugins.catalog()
        let description = try model.map { try AutoBridge.fromHF(HubDirectory.resolve($0), catalog: catalog) }
        return try AutoBridge.fromMegatron(megatronPath, catalog: catalog, describedBy: description)
            .reshardPlan(options)
    }

    func run() throws {
        try Destination.check(output, against: [megatronPath])
        let checkpoint = try NativeCheckpoint(path: megatronPath)
        let report = try printing.watched { context in
            let options = arguments.options(layout, container.choice, context: context)
            let plan = try plan(checkpoint, options)
            guard !arguments.dryRun else {
                try checkpoint.checkReshard(to: output, overwrite: arguments.overwrite)
                PlanPrinter(plan: plan, context: context, json: printing.json).show()
                return nil as ConversionReport?
            }
            printing.say(
                "🔄 Resharding: \(checkpoint.path) (\(checkpoint.manifest.layout)) -> \(output) (\(options.layout))"
            )
            return try checkpoint.reshard(plan, to: output, options: options)
        }
        guard let report else { return }
        ReportPrinter(report: report, json: printing.json).show(
            done: "✅ Successfully resharded model to: \(output)",
            structure: "📁 Checkpoint structure:"
        )
    }
}
