import ArgumentParser
import BridgeCore
import Foundation
import TensorRuntime

/// Hugging Face to Megatron and back.
struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Convert a checkpoint: Hugging Face to Megatron (import), or Megatron to Hugging Face (export).",
        discussion: """
            Every tensor is accounted for before a byte is written; what is not ends the run with the whole list.
            Without a subcommand it imports; 'bridge convert import --help' has the options.

            EXAMPLES:
              bridge convert --hf-model mistralai/Ministral-3-3B-Instruct-2512-BF16 --megatron-path megatron/ministral-3-3b
              bridge convert import --hf-model gemma-3-27b-it --megatron-path megatron/gemma --tp 8 --pp 2
              bridge convert import --hf-model toy --megatron-path out --dry-run
              bridge convert export --megatron-path megatron/ministral-3-3b --hf-path exported
            """,
        subcommands: [Import.self, Export.self],
        defaultSubcommand: Import.self
    )
}

/// Hugging Face to Megatron.
struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hugging Face to Megatron.",
        discussion: """
            EXAMPLES:
              bridge convert import --hf-model toy --megatron-path out --tp 2 --pp 2
              bridge convert import --hf-model toy --megatron-path out --stage-layers 2,4
            """
    )

    @Option(
        name: [.customLong("hf-model"), .customLong("hf-model-path"), .customLong("hf_model_path")],
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var hfModel: String

    @Option(
        name: [.customLong("megatron-path"), .customLong("megatron-model-path"), .customLong("megatron_model_path")],
        help: ArgumentHelp("The directory of the Megatron checkpoint.", valueName: "directory"),
        completion: .directory
    )
    var megatronPath: String

    @Flag(
        name: .customLong("no-cache"),
        help: "Keep no copy of a model of the hub: it is fetched beside the checkpoint and removed at the end."
    )
    var noCache = false

    @OptionGroup var layout: LayoutOptions
    @OptionGroup var arguments: ConversionArguments
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: RunOptions

    func run() throws {
        try Destination.check(megatronPath, against: [hfModel])
        if noCache, HubRepository(meantBy: hfModel) == nil {
            Output.warn("--no-cache has no effect: \(hfModel) is a directory here, of which no copy is made")
        }
        let catalog = try plugins.catalog()
        guard !arguments.dryRun else { return try showPlan(HubDirectory.planning(hfModel, catalog)) }
        output.say("🔄 Starting import: \(hfModel) -> \(megatronPath)")
        let report = try output.watched { context in
            try HubDirectory.whileDownloading(hfModel, catalog, keepingNoCopyBeside: noCache ? megatronPath : nil) {
                try write($0, context)
            }
        }
        ReportPrinter(report: report, json: output.json).show(
            done: "✅ Successfully imported model to: \(megatronPath)",
            structure: "📁 Checkpoint structure:"
        )
    }

    /// Shows what would be done.
    private func showPlan(_ bridge: AutoBridge) throws {
        try output.watched { context in
            let plan = try bridge.plan(arguments.options(layout, context: context))
            // What would end the conversion ends the dry run, too.
            try AutoBridge.checkImport(to: megatronPath, overwrite: arguments.overwrite)
            let source = HubRepository(meantBy: hfModel).map { "\($0)" }
            PlanPrinter(plan: plan, context: context, json: output.json, source: source).show()
        }
    }

    /// Writes the checkpoint.
    private func write(_ bridge: AutoBridge, _ context: RunContext) throws -> ConversionReport {
        let options = arguments.options(layout, context: context)
        let plan = try bridge.plan(options)
        output.say("   Using dtype: \(arguments.elementType?.rawValue ?? "as stored"), \(options.layout)")
        output.say("📥 Loading HuggingFace model: \(hfModel)")
        output.say(
            "   \(bridge.architecture), \(plan.ledger.mapped.count) tensors, \(ByteFormat.text(bridge.directory?.byteCount ?? 0))"
        )
        return try bridge.importCheckpoint(plan, to: megatronPath, options: options)
    }
}

/// Megatron to Hugging Face.
struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Megatron to Hugging Face.",
        discussion: """
            The checkpoint carries all that is needed. When no weight has changed, the directory equals the imported one byte
            for byte, but for files that the import left out. Of a LoRA or DoRA run the adapters are merged into the model \
            that it started from. Damage on the disk is found by 'bridge checkpoint check'.

            EXAMPLES:
              bridge convert export --megatron-path toy-megatron --hf-path toy-again
              bridge convert export --megatron-path toy-megatron/iter_0000000 --hf-path toy-f32 --dtype float32
              bridge convert export --megatron-path tuned-megatron --hf-path tuned --push-to-hub me/tuned
            """
    )

    @Option(
        name: [.customLong("hf-model"), .customLong("hf-model-path"), .customLong("hf_model_path")],
        help: ArgumentHelp(
            "The model whose names, files and order are followed instead of those in the checkpoint: a directory, or "
                + "org/name[@revision] on the hub, of which no weights are downloaded.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var hfModel: String?

    @Option(
        name: [.customLong("megatron-path"), .customLong("megatron-model-path"), .customLong("megatron_model_path")],
        help: ArgumentHelp(
            "The Megatron checkpoint: an iteration, or the directory with iterations, of which the newest is taken.",
            valueName: "directory"
        ),
        completion: .directory
    )
    var megatronPath: String

    @Option(
        name: .customLong("hf-path"),
        help: ArgumentHelp("The directory that is made.", valueName: "directory"),
        completion: .directory
    )
    var hfPath: String

    @OptionGroup var pushing: PushOptions
    @OptionGroup var arguments: ConversionArguments
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: RunOptions

    /// The model that is followed: --hf-model, or without it what the checkpoint has.
    private func source(_ catalog: PluginCatalog) throws -> AutoBridge {
        if !FileManager.default.fileExists(atPath: megatronPath),
            let repository = HubRepository(meantBy: megatronPath)
        {
            throw BridgeError(
                .fileSystem,
                "\(megatronPath) is not a directory, and Megatron checkpoints do not come from the hub; make one with "
                    + "'bridge convert --hf-model \(repository) --megatron-path megatron'"
            )
        }
        guard let hfModel else { return try AutoBridge.fromMegatron(megatronPath, catalog: catalog) }
        // Adapters are merged into the weights of the model; else only names, shapes and small files are taken from it.
        guard AutoBridge.holdsAdapter(megatronPath), !arguments.dryRun else {
            return try HubDirectory.planning(hfModel, catalog)
        }
        return try AutoBridge.fromHF(HubDirectory.resolve(hfModel), catalog: catalog)
    }

    func run() throws {
        if !arguments.dryRun { try pushing.check() }
        try Destination.check(hfPath, against: [hfModel, megatronPath])
        if !arguments.dryRun { output.say("🔄 Starting export: \(megatronPath) -> \(hfPath)") }
        let catalog = try plugins.catalog()
        let bridge = try source(catalog)
        let report = try output.watched { context in
            let options = arguments.options(context: context)
            if AutoBridge.holdsAdapter(megatronPath), !arguments.dryRun {
                output.say("🧩 The checkpoint holds adapters; they go into the weights of the model that they belong to")
                let engine = CPUEngine(threadCount: RunOptions.computeThreads(output.threads))
                return Optional(
                    try bridge.exportMerged(from: megatronPath, to: hfPath, on: engine, options: options)
                )
            }
            let plan = try bridge.exportPlan(from: megatronPath, options: options)
            guard !arguments.dryRun else {
                try AutoBridge.checkExport(to: hfPath, overwrite: arguments.overwrite)
                var printer = PlanPrinter(plan: plan, context: context, json: output.json)
                printer.upload = try pushing.plan(hfPath, byteCount: plan.byteCount)
                printer.show()
                return nil as ConversionReport?
            }
            output.say("📂 Found Megatron checkpoint: \(plan.source)")
            output.say(
                "📥 Loading \(bridge.architecture), \(plan.ledger.mapped.count) parameters, \(ByteFormat.text(plan.byteCount))"
            )
            output.say("📤 Exporting to HuggingFace format...")
            return try bridge.exportCheckpoint(plan, to: hfPath, options: options)
        }
        guard let report else { return }
        ReportPrinter(report: report, json: output.json).show(
            done: "✅ Successfully exported model to: \(hfPath)",
            structure: "📁 Export structure:"
        )
        try pushing.push(hfPath, isSilent: output.json)
        let kind = bridge.architecture.hasSuffix("ForCausalLM") ? "AutoModelForCausalLM" : "AutoModelForImageTextToText"
        output.say("🔍 You can now load this model with:")
        output.say("   from transformers import \(kind)")
        output.say("   model = \(kind).from_pretrained(\"\(hfPath)\")")
    }
}
