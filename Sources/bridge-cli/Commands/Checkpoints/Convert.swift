import ArgumentParser
import BridgeCore
import Foundation
import TensorRuntime

/// Converts from Hugging Face to Megatron and back.
struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Convert a checkpoint: Hugging Face to Megatron (import), or Megatron to Hugging Face (export).",
        discussion: """
            Every tensor is accounted for before a byte is written; unmapped and missing tensors are an error with the \
            complete list. Without a subcommand it imports; 'bridge convert import --help' lists the options.

            EXAMPLES:
              bridge convert --hf-model mistralai/Ministral-3-3B-Instruct-2512-BF16 \\
                --megatron-path megatron/ministral
              bridge convert --hf-model gemma-3-27b-it --megatron-path gemma --tp 8 --pp 2
              bridge convert import --hf-model toy --megatron-path out --dry-run
              bridge convert export --megatron-path megatron/ministral --hf-path exported
              bridge convert export --hf-model gemma-3-4b-it --hf-path gemma-gguf \\
                --format gguf --gguf-type q8_0
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
              bridge convert import --hf-model toy --megatron-path out \\
                --num-layers-per-stage 2,3
              bridge convert import --hf-model toy --megatron-path toy-dist \\
                --format torch_dist
              bridge convert import --hf-model toy --megatron-path toy-dcp --format dcp
            """
    )

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var hfModel: String

    @Option(
        name: .customLong("megatron-path"),
        help: ArgumentHelp("Output directory of the Megatron checkpoint.", valueName: "directory"),
        completion: .directory
    )
    var megatronPath: String

    @Flag(
        name: .customLong("no-cache"),
        help:
            "Do not keep a model of the hub in the cache: it is downloaded next to the checkpoint and removed at the end."
    )
    var noCache = false

    @OptionGroup var layout: LayoutOptions
    @OptionGroup var container: ContainerOptions<ImportFormat>
    @OptionGroup var arguments: ConversionArguments
    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var output: RunOptions

    private var isStateDict: Bool { container.format == .stateDict }

    func validate() throws {
        guard isStateDict else { return }
        guard layout.layout == .single, layout.vocabularyMultiple == nil else {
            throw ValidationError("--format dcp stores whole tensors; remove the options of the layout")
        }
        guard arguments.allowMissing.isEmpty else {
            throw ValidationError("--allow-missing has no effect with --format dcp: every tensor is stored as it is")
        }
    }

    func run() throws {
        try Destination.check(megatronPath, against: [hfModel])
        if noCache, HubRepository(meantBy: hfModel) == nil {
            Output.warn("--no-cache has no effect: \(hfModel) is a local directory and is not copied")
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

    /// Prints the plan.
    private func showPlan(_ bridge: AutoBridge) throws {
        try output.watched { context in
            let options = arguments.options(layout, container.choice, context: context)
            let plan = try isStateDict ? bridge.stateDictPlan(options) : bridge.plan(options)
            // Errors of the conversion are also errors of the dry run.
            if isStateDict {
                try AutoBridge.checkStateDict(to: megatronPath, overwrite: arguments.overwrite)
            } else {
                try AutoBridge.checkImport(to: megatronPath, overwrite: arguments.overwrite)
            }
            let source = HubRepository(meantBy: hfModel).map { "\($0)" }
            PlanPrinter(plan: plan, context: context, json: output.json, source: source).show()
        }
    }

    /// Writes the checkpoint.
    private func write(_ bridge: AutoBridge, _ context: RunContext) throws -> ConversionReport {
        let options = arguments.options(layout, container.choice, context: context)
        let plan = try isStateDict ? bridge.stateDictPlan(options) : bridge.plan(options)
        output.say("   Using dtype: \(arguments.elementType?.rawValue ?? "as stored"), \(options.layout)")
        output.say("📥 Loading HuggingFace model: \(hfModel)")
        output.say(
            "   \(bridge.architecture), \(plan.ledger.mapped.count) tensors, \(ByteFormat.text(bridge.directory?.byteCount ?? 0))"
        )
        return try isStateDict
            ? bridge.writeStateDict(plan, to: megatronPath, options: options)
            : bridge.importCheckpoint(plan, to: megatronPath, options: options)
    }
}

/// Megatron to Hugging Face, or either to GGUF.
struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Megatron to Hugging Face, or either of them to GGUF for llama.cpp.",
        discussion: """
            The checkpoint contains all that is needed. If no weight has changed, the output equals the imported directory \
            byte for byte, except for files that the import skipped. The adapters of a LoRA or DoRA run are merged into \
            its base model. 'bridge checkpoint check' finds damaged files.

            With --format gguf it writes model-TYPE.gguf, and for a model with images mmproj-TYPE.gguf, of the checkpoint, or \
            without --megatron-path of the Hugging Face model itself. Toys without --size have settings that llama.cpp lacks.

            EXAMPLES:
              bridge convert export --megatron-path toy-megatron --hf-path toy-again
              bridge convert export --megatron-path toy-megatron/iter_0000000 \\
                --hf-path toy-f32 --dtype float32
              bridge convert export --megatron-path tuned-megatron --hf-path tuned \\
                --push-to-hub me/tuned
              bridge convert export --megatron-path tuned-megatron --hf-path tuned-gguf \\
                --format gguf --gguf-type q8_0
              bridge convert export --hf-model gemma-3-4b-it --hf-path gemma-gguf \\
                --format gguf
            """
    )

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The model whose tensor names, files and order are used instead of those in the checkpoint: a directory, or "
                + "org/name[@revision] on the hub, of which no weights are downloaded.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var hfModel: String?

    @Option(
        name: .customLong("megatron-path"),
        help: ArgumentHelp(
            "The Megatron checkpoint: an iteration, or a directory with iterations, of which the newest is used.",
            valueName: "directory"
        ),
        completion: .directory
    )
    var megatronPath: String?

    @Option(
        name: .customLong("hf-path"),
        help: ArgumentHelp("Output directory.", valueName: "directory"),
        completion: .directory
    )
    var hfPath: String

    @Option(
        name: .long,
        help: ArgumentHelp("hf, a Hugging Face directory, or gguf, the files that llama.cpp loads.", valueName: "name")
    )
    var format = ExportFormat.huggingFace

    @Option(
        name: .customLong("gguf-type"),
        help: ArgumentHelp(
            "The type of matrices in GGUF files: f32, f16, bf16, q8_0 or q4_0. (default: as stored)",
            valueName: "type"
        )
    )
    var ggufType: MatrixType?

    @OptionGroup var pushing: PushOptions
    @OptionGroup var arguments: ConversionArguments
    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var output: RunOptions

    func validate() throws {
        if format == .huggingFace {
            guard ggufType == nil else {
                throw ValidationError("--gguf-type has no effect with --format hf, expected gguf")
            }
            guard megatronPath != nil else {
                throw ValidationError("--megatron-path is missing; only --format gguf reads a Hugging Face model alone")
            }
        } else {
            guard arguments.elementType == nil else {
                throw ValidationError("--dtype has no effect with --format gguf; use --gguf-type")
            }
            guard megatronPath != nil || hfModel != nil else {
                throw ValidationError("--format gguf needs --megatron-path or --hf-model")
            }
        }
    }

    /// The library's options.
    private func options(_ context: RunContext) -> ConversionOptions {
        var options = arguments.options(context: context)
        (options.writesGGUF, options.ggufType) = (format == .gguf, ggufType?.ggufType)
        return options
    }

    /// The model whose names, files and order are used: that of --hf-model, otherwise of the checkpoint.
    private func source(_ catalog: PluginCatalog) throws -> AutoBridge {
        guard let megatronPath else {
            let model = hfModel ?? ""
            return try arguments.dryRun
                ? HubDirectory.planning(model, catalog)
                : AutoBridge.fromHF(HubDirectory.resolve(model), catalog: catalog)
        }
        if !Files.exists(megatronPath),
            let repository = HubRepository(meantBy: megatronPath)
        {
            throw BridgeError(
                .fileSystem,
                "\(megatronPath) does not exist, and Megatron checkpoints are not downloaded from the hub; make one with "
                    + "'bridge convert --hf-model \(repository) --megatron-path megatron'"
            )
        }
        guard let hfModel else { return try AutoBridge.fromMegatron(megatronPath, catalog: catalog) }
        // Adapters are merged into the weights of the model; otherwise only its names, shapes and side files are used.
        guard AutoBridge.holdsAdapter(megatronPath), !arguments.dryRun else {
            return try HubDirectory.planning(hfModel, catalog)
        }
        return try AutoBridge.fromHF(HubDirectory.resolve(hfModel), catalog: catalog)
    }

    func run() throws {
        if !arguments.dryRun { try pushing.check() }
        try Destination.check(hfPath, against: [hfModel, megatronPath])
        let start = megatronPath ?? hfModel ?? ""
        if !arguments.dryRun { output.say("🔄 Starting export: \(start) -> \(hfPath)") }
        let catalog = try plugins.catalog()
        let bridge = try source(catalog)
        let report = try output.watched { context in
            let options = options(context)
            if let megatronPath, AutoBridge.holdsAdapter(megatronPath), !arguments.dryRun {
                output.say("🧩 The checkpoint contains adapters; they are merged into the weights of their base model")
                let engine = CPUEngine(threadCount: output.threads.count)
                return Optional(
                    try bridge.exportMerged(from: megatronPath, to: hfPath, on: engine, options: options)
                )
            }
            let plan =
                try megatronPath.map { try bridge.exportPlan(from: $0, options: options) } ?? bridge.ggufPlan(options)
            guard !arguments.dryRun else {
                try AutoBridge.checkExport(to: hfPath, overwrite: arguments.overwrite)
                var printer = PlanPrinter(plan: plan, context: context, json: output.json)
                printer.upload = try pushing.plan(hfPath, byteCount: plan.byteCount)
                printer.show()
                return nil as ConversionReport?
            }
            output.say("📂 Found \(megatronPath == nil ? "model" : "Megatron checkpoint"): \(plan.source)")
            output.say(
                "📥 Loading \(bridge.architecture), \(plan.ledger.mapped.count) parameters, \(ByteFormat.text(plan.byteCount))"
            )
            output.say("📤 Exporting to \(format == .gguf ? "GGUF" : "HuggingFace") format...")
            return try bridge.exportCheckpoint(plan, to: hfPath, options: options)
        }
        guard let report else { return }
        ReportPrinter(report: report, json: output.json).show(
            done: "✅ Successfully exported model to: \(hfPath)",
            structure: "📁 Export structure:"
        )
        try pushing.push(hfPath, isSilent: output.json)
        output.say("🔍 You can now load this model with:")
        guard format == .huggingFace else {
            let files = report.files.map(\.name)
            let images = files.first { $0.hasPrefix("mmproj") }.map { " --mmproj \(hfPath)/\($0)" } ?? ""
            return output.say("   llama-cli -m \(hfPath)/\(files.first ?? "")\(images)")
        }
        let kind = bridge.architecture.hasSuffix("ForCausalLM") ? "AutoModelForCausalLM" : "AutoModelForImageTextToText"
        output.say("   from transformers import \(kind)")
        output.say("   model = \(kind).from_pretrained(\"\(hfPath)\")")
    }
}

/// What an export writes.
enum ExportFormat: String, ExpressibleByArgument, CaseIterable {
    case huggingFace = "hf"
    case gguf
}

/// The types of matrices in GGUF files.
enum MatrixType: String, ExpressibleByArgument, CaseIterable {
    case f32
    case f16
    case bf16
    case q8 = "q8_0"
    case q4 = "q4_0"

    var ggufType: GGUFType? { GGUFType(rawValue: rawValue) }
}
