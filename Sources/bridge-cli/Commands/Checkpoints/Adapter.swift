import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import TensorRuntime

/// Adapters between a run's checkpoints and PEFT.
struct Adapter: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hand LoRA and DoRA adapters to PEFT, take them from it, and merge them into a model.",
        discussion: """
            EXAMPLES:
              bridge adapter export --hf-model toy --adapter run/iter_0000100 --output toy-lora
              bridge adapter import --hf-model toy --adapter toy-lora --output toy-lora-megatron
              bridge adapter merge --hf-model toy --adapter toy-lora --hf-path toy-merged
            """,
        subcommands: [AdapterExport.self, AdapterImport.self, AdapterMerge.self]
    )
}

/// The model and the adapters that a command is about.
struct AdapterOptions: ParsableArguments {
    @OptionGroup var model: ModelOptions

    @Flag(name: .long, help: "Replace what stands at the destination.")
    var overwrite = false

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    func validate() throws {
        guard model.adapter != nil else { throw ValidationError("name the adapters with --adapter") }
    }

    /// The bridge, the model without adapters, and then the adapters on it.
    ///
    /// - Parameter isExact: Whether parts that were trained in full keep all their digits, for a file; they do not fit the
    ///   rest of a bfloat16 model then.
    /// - Returns: The three.
    /// - Throws: `BridgeError` for what cannot be loaded.
    func load(isExact: Bool = false) throws -> (AutoBridge, any CausalModel, AdapterSet) {
        let bridge = try model.bridge()
        let model = try bridge.toModel(
            weights: model.megatron,
            elementType: model.elementType?.elementType,
            on: CPUEngine(threadCount: RunOptions.computeThreads(model.threads))
        )
        // Adapters are small and often finer than the weights: peft keeps them in float32 beside a bfloat16 model.
        let adapters = try bridge.loadAdapters(
            from: self.model.adapterDirectory() ?? "",
            on: model,
            elementType: .float32,
            partType: isExact ? .float32 : nil
        )
        for note in adapters.notes { Output.printError("warning: \(note)") }
        return (bridge, model, adapters)
    }

    /// Says what was written.
    func report(_ adapters: AdapterSet, _ destination: String) {
        let count = adapters.parameters.reduce(0) { $0 + $1.tensor.count }
        guard json else {
            let modules = "\(adapters.modules.count) modules, \(count) parameters"
            return Output.line(
                Style.green("✅ Wrote \(adapters.configuration.scheme.rawValue) of \(modules) to \(destination)")
            )
        }
        Output.json([
            "destination": .string(destination), "scheme": .string(adapters.configuration.scheme.rawValue),
            "modules": .number(JSONNumber(adapters.modules.count)), "parameters": .number(JSONNumber(count)),
            "notes": .array(adapters.notes.map { .string($0) }),
        ])
    }
}

/// To PEFT.
struct AdapterExport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write adapters in the form of Hugging Face's PEFT."
    )

    @OptionGroup var options: AdapterOptions

    @Option(
        name: .long,
        help: ArgumentHelp("The directory that is made.", valueName: "directory"),
        completion: .directory
    )
    var output: String

    @Option(
        name: .customLong("base-model"),
        help: ArgumentHelp(
            "The model that PEFT is told, a hub id for instance; --hf-model by default.",
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
        options.report(adapters, output)
        try pushing.push(output, isSilent: options.json)
    }
}

/// From PEFT.
struct AdapterImport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Write adapters as a Megatron checkpoint that holds them alone."
    )

    @OptionGroup var options: AdapterOptions

    @Option(
        name: .customLong("output"),
        help: ArgumentHelp("The checkpoint directory that is made.", valueName: "directory"),
        completion: .directory
    )
    var output: String

    func run() throws {
        try options.checkDestination(output)
        try options.prepare(output)
        let (bridge, _, adapters) = try options.load(isExact: true)
        let parameters = adapters.parameters + adapters.wholeParameters
        let state = TrainingState(parameters: parameters, adapters: adapters, moments: [])
        try Interrupt.withGracefulInterrupt {
            let context = RunContext(cancellation: Interrupt.cancellation)
            _ = try bridge.save(state, to: output, iteration: 0, files: [], context: context)
        }
        options.report(adapters, output)
    }
}

/// Into the model's own weights.
struct AdapterMerge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Write a model whose weights have the adapters in them."
    )

    @OptionGroup var options: AdapterOptions

    @Option(
        name: [.customLong("hf-path"), .customLong("hf_path")],
        help: ArgumentHelp("The Hugging Face directory that is made.", valueName: "directory"),
        completion: .directory
    )
    var huggingFace: String?

    @Option(
        name: .customLong("output"),
        help: ArgumentHelp("The Megatron checkpoint that is made.", valueName: "directory"),
        completion: .directory
    )
    var megatron: String?

    @OptionGroup var pushing: PushOptions

    func validate() throws {
        guard (huggingFace == nil) != (megatron == nil) else {
            throw ValidationError(
                "name one destination: --hf-path for a Hugging Face directory, --output for a checkpoint"
            )
        }
        if pushing.id != nil, huggingFace == nil { throw ValidationError("--push-to-hub goes with --hf-path") }
    }

    func run() throws {
        try pushing.check()
        try options.checkDestination(huggingFace ?? megatron ?? "")
        if let huggingFace { try AutoBridge.checkExport(to: huggingFace, overwrite: options.overwrite) }
        if let megatron { try options.prepare(megatron) }
        let sources = SourceFiles([options.model.huggingFace, options.model.megatron, options.model.adapter])
        let (bridge, model, adapters) = try options.load()
        var context = RunContext(cancellation: Interrupt.cancellation)
        context.confirm = { try sources.confirmUnchanged() }
        if let megatron {
            try Interrupt.withGracefulInterrupt {
                try bridge.saveMerged(adapters, on: model, to: megatron, context: context)
            }
            return options.report(adapters, megatron)
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
        options.report(adapters, huggingFace)
        try pushing.push(huggingFace, isSilent: options.json)
    }
}

extension AdapterOptions {
    /// Refuses a destination that would change the model or the adapters.
    func checkDestination(_ destination: String) throws {
        try Destination.check(destination, against: [model.huggingFace, model.megatron, model.adapter])
    }

    /// Refuses to add to a checkpoint that is there, or clears it away.
    func prepare(_ destination: String) throws {
        guard FileManager.default.fileExists(atPath: destination) else { return }
        let isEmpty = try FileManager.default.contentsOfDirectory(atPath: destination).isEmpty
        guard isEmpty || overwrite else {
            throw BridgeError(
                .destinationTaken,
                "\(destination) already exists; choose another directory or pass --overwrite"
            )
        }
    }
}
