import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import TensorRuntime

/// Adapters between a run's checkpoints and PEFT.
struct Adapter: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Export LoRA and DoRA adapters to PEFT, import them, merge them into a model, or compare them with PEFT.",
        discussion: """
            EXAMPLES:
              bridge adapter export --hf-model toy --adapter run/iter_0000100 --output peft
              bridge adapter import --hf-model toy --adapter peft --output peft-megatron
              bridge adapter merge --hf-model toy --adapter peft --hf-path toy-merged
              bridge adapter verify --hf-model toy --adapter run/iter_0000100
            """,
        subcommands: [AdapterExport.self, AdapterImport.self, AdapterMerge.self, AdapterVerify.self]
    )
}

/// The model and the adapter of a command.
struct AdapterOptions: ParsableArguments {
    @OptionGroup var model: ModelOptions

    @Flag(name: .long, help: "Replace an existing destination.")
    var overwrite = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard model.adapter != nil else { throw ValidationError("--adapter is missing: give the adapter") }
    }

    /// The bridge, the model, and its adapters.
    ///
    /// - Parameter isExact: Whether parts that were trained in full keep their precision, for a file; they do not fit the
    ///   rest of a bfloat16 model then.
    /// - Returns: The three.
    /// - Throws: `BridgeError` for what cannot be loaded.
    func load(isExact: Bool = false) throws -> (AutoBridge, any CausalModel, AdapterSet) {
        let bridge = try model.bridge()
        let model = try bridge.toModel(
            weights: model.megatron,
            elementType: model.elementType?.elementType,
            on: CPUEngine(threadCount: model.threads.count)
        )
        // Adapters often have a higher precision than the weights: PEFT stores them in float32 for a bfloat16 model.
        let adapters = try bridge.loadAdapters(
            from: self.model.adapterDirectory() ?? "",
            on: model,
            elementType: .float32,
            partType: isExact ? .float32 : nil
        )
        for note in adapters.notes { Output.printError("warning: \(note)") }
        return (bridge, model, adapters)
    }

    /// The action of a command on adapters.
    enum Done: String {
        case wrote = "Wrote"
        case merged = "Merged"
    }

    /// Reports what was written: the scheme, the number of modules with adapters, their rank and their parameters.
    func report(_ done: Done, _ adapters: AdapterSet, to destination: String) {
        let count = adapters.parameters.reduce(0) { $0 + $1.tensor.count }
        let scheme = adapters.configuration.scheme == .dora ? "DoRA" : "LoRA"
        let ranks = adapters.ranks
        guard output.json else {
            let rank = ranks.count == 1 ? "rank \(ranks[0])" : "ranks \(ranks.map(String.init).joined(separator: ", "))"
            let modules = ByteFormat.counted(adapters.modules.count, "module")
            let what = "\(scheme) adapters (\(modules), \(rank), \(count) parameters)"
            let location = done == .merged ? "into the weights, and wrote \(destination)" : "to \(destination)"
            return Output.line(Style.green("✅ \(done.rawValue) \(what) \(location)"))
        }
        Output.json([
            "destination": .string(destination), "scheme": .string(adapters.configuration.scheme.rawValue),
            "modules": JSON(adapters.modules.count), "ranks": ranks.json,
            "parameters": JSON(count),
            "notes": .array(adapters.notes.map { .string($0) }),
        ])
    }
}

/// Exports to PEFT.
struct AdapterExport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Export an adapter in the format of Hugging Face's PEFT."
    )

    @OptionGroup var options: AdapterOptions

    @Option(name: .long, help: ArgumentHelp("Output directory.", valueName: "directory"), completion: .directory)
    var output: String

    @Option(
        name: .customLong("base-model"),
        help: ArgumentHelp(
            "base_model_name_or_path to record in adapter_config.json. (default: --hf-model)",
            valueName: "id"
        )
    )
    var baseModel: String?

    @OptionGroup var pushing: PushOptions

    func run() throws {
        try pushing.check()
        try options.checkDestination(output)
        let (bridge, model, adapters) = try options.load(isExact: true)
        let base = baseModel ?? options.model.huggingFace
        try Interrupt.withGracefulInterrupt {
            try bridge.exportAdapter(
                adapters,
                on: model,
                to: output,
                baseModel: base,
                overwrite: options.overwrite,
                cancellation: Interrupt.cancellation
            )
        }
        options.report(.wrote, adapters, to: output)
        try pushing.push(output, isSilent: options.output.json)
    }
}

/// Imports from PEFT.
struct AdapterImport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Import an adapter as a Megatron checkpoint with the adapter alone."
    )

    @OptionGroup var options: AdapterOptions

    @Option(
        name: .customLong("output"),
        help: ArgumentHelp("Output directory of the checkpoint.", valueName: "directory"),
        completion: .directory
    )
    var output: String

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The container: native, or torch_dist, as Megatron Bridge stores adapters.",
            valueName: "name"
        )
    )
    var format = MegatronFormat.native

    /// The container with what it has of the adapters' settings.
    private func container(_ adapters: AdapterSet) -> RunContainer {
        guard format == .torchDist else { return .native }
        var recipe = Recipe(name: "adapter")
        recipe.peft = adapters.configuration
        recipe.checkpoint.pretrainedCheckpoint = options.model.huggingFace ?? options.model.megatron ?? ""
        return .torchDist(MegatronRunState(steps: 0, consumedSamples: 0, optimizerSteps: 0, recipe: recipe))
    }

    func run() throws {
        try options.checkDestination(output)
        try options.prepare(output)
        let (bridge, _, adapters) = try options.load(isExact: true)
        let parameters = adapters.parameters + adapters.wholeParameters
        let state = TrainingState(parameters: parameters, adapters: adapters, moments: [])
        try Interrupt.withGracefulInterrupt {
            let context = RunContext(cancellation: Interrupt.cancellation)
            try bridge.save(
                state,
                to: output,
                iteration: 0,
                files: [],
                container: container(adapters),
                context: context
            )
        }
        options.report(.wrote, adapters, to: output)
    }
}

/// Merges into the weights of the model.
struct AdapterMerge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Merge an adapter into the weights of its model."
    )

    @OptionGroup var options: AdapterOptions

    @Option(
        name: .customLong("hf-path"),
        help: ArgumentHelp("Output directory of the Hugging Face model.", valueName: "directory"),
        completion: .directory
    )
    var huggingFace: String?

    @Option(
        name: .customLong("output"),
        help: ArgumentHelp("Output directory of the Megatron checkpoint.", valueName: "directory"),
        completion: .directory
    )
    var megatron: String?

    @OptionGroup var pushing: PushOptions

    func validate() throws {
        guard (huggingFace == nil) != (megatron == nil) else {
            throw ValidationError(
                "give one destination: --hf-path for a Hugging Face model, or --output for a Megatron checkpoint"
            )
        }
        if pushing.id != nil, huggingFace == nil { throw ValidationError("--push-to-hub requires --hf-path") }
    }

    func run() throws {
        try pushing.check()
        try options.checkDestination(huggingFace ?? megatron ?? "")
        if let huggingFace { try AutoBridge.checkExport(to: huggingFace, overwrite: options.overwrite) }
        if let megatron { try options.prepare(megatron) }
        let sources = SourceFiles([options.model.huggingFace, options.model.megatron, options.model.adapter])
        let (bridge, model, adapters) = try options.load()
        var context = RunContext(cancellation: Interrupt.cancellation)
        context.sources = [sources]
        if let megatron {
            try Interrupt.withGracefulInterrupt {
                try bridge.saveMerged(adapters, on: model, to: megatron, context: context)
            }
            return options.report(.merged, adapters, to: megatron)
        }
        guard let huggingFace else { return }
        try Interrupt.withGracefulInterrupt {
            _ = try bridge.exportMerged(
                adapters,
                on: model,
                to: huggingFace,
                options: ConversionOptions(overwrite: options.overwrite, context: context)
            )
        }
        options.report(.merged, adapters, to: huggingFace)
        try pushing.push(huggingFace, isSilent: options.output.json)
    }
}

extension AdapterOptions {
    /// Refuses a destination that would change the model or the adapters.
    func checkDestination(_ destination: String) throws {
        try Destination.check(destination, against: [model.huggingFace, model.megatron, model.adapter])
    }

    /// Refuses to add to an existing checkpoint, or removes it.
    func prepare(_ destination: String) throws {
        guard Files.exists(destination) else { return }
        let isEmpty = try Files.list(destination).isEmpty
        guard isEmpty || overwrite else {
            throw BridgeError(
                .destinationTaken,
                "\(destination) already exists; choose another directory or pass --overwrite"
            )
        }
    }
}
