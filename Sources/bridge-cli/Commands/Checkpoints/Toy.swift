import ArgumentParser
import BridgeCore
import JSONTree

/// Creates a tiny model for tests, or a large one for benchmarks.
struct Toy: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create a complete Hugging Face model with random weights, or with the first layers of another one.",
        discussion: """
            The directory has all files of a model on the hub: config, sharded weights, tokenizer, processor and chat \
            template. No network is needed, and the same seed gives the same bytes on every machine. \
            'bridge models' lists the families and their published sizes. With --from it is the first layers of a real \
            model, whose bytes are kept.

            EXAMPLES:
              bridge toy --family mistral --output toy
              bridge toy --family gemma3 --output toy --num-layers 13 --dtype float32
              bridge toy --family ministral3 --output toy-3b --size 3b
              bridge toy --from google/gemma-3-4b-it --num-layers 2 --output gemma-2-layers
            """
    )

    @Option(
        name: .long,
        help: ArgumentHelp("The family, such as mistral, ministral3 or gemma3.", valueName: "name"),
        completion: CompletionValues.families
    )
    var family: String?

    @Option(
        name: .customLong("from"),
        help: ArgumentHelp("Keep the first --num-layers layers of this Hugging Face model.", valueName: "path|id"),
        completion: .directory
    )
    var origin: String?

    @Option(name: .long, help: ArgumentHelp("Output directory.", valueName: "directory"), completion: .directory)
    var output: String

    @Option(name: .long, help: ArgumentHelp("Seed of the random weights. (default: 0)", valueName: "n"))
    var seed: UInt64?

    @Option(name: .customLong("num-layers"), help: ArgumentHelp("Number of decoder layers.", valueName: "n"))
    var layers: Int?

    @Option(name: .customLong("hidden-size"), help: ArgumentHelp("Hidden size.", valueName: "n"))
    var hidden: Int?

    @Option(
        name: .customLong("dtype"),
        help: ArgumentHelp(
            "Type of the weights: float32, float16 or bfloat16. (default: as published)",
            valueName: "type"
        )
    )
    var elementType: ConversionArguments.WeightType?

    @Option(
        name: .customLong("size"),
        help: ArgumentHelp(
            "Use the dimensions of a published size of the family, which 'bridge models' lists, such as 7b.",
            valueName: "name"
        )
    )
    var realSize: String?

    @Flag(name: .long, help: "Replace an existing destination.")
    var overwrite = false

    @OptionGroup var plugins: PluginOptions
    @OptionGroup var printing: RunOptions

    func validate() throws {
        guard (family != nil) != (origin != nil) else { throw ValidationError("give one of --family and --from") }
        if origin != nil {
            let others = [
                ("--seed", seed != nil), ("--hidden-size", hidden != nil), ("--dtype", elementType != nil),
                ("--size", realSize != nil),
            ]
            if let option = others.first(where: \.1)?.0 {
                throw ValidationError("\(option) has no effect with --from, whose weights are kept as they are")
            }
            guard layers != nil else {
                throw ValidationError("--num-layers is missing: how many layers of --from stay")
            }
        }
        if let layers, !(1...4096).contains(layers) {
            throw ValidationError("--num-layers is \(layers), expected 1 to 4096")
        }
        if let hidden, !(1...1 << 20).contains(hidden) {
            throw ValidationError("--hidden-size is \(hidden), expected 1 to \(1 << 20)")
        }
    }

    func run() throws {
        try Destination.check(output, against: [])
        try AutoBridge.checkExport(to: output, overwrite: overwrite)
        if let origin { return try cut(origin) }
        guard let family else { return }
        let seed = seed ?? 0
        let toy = try ToyModel(
            family: family,
            options: .init(
                seed: seed,
                layers: layers,
                hiddenSize: hidden,
                elementType: elementType?.elementType,
                realSize: realSize
            ),
            catalog: plugins.catalog()
        )
        printing.say("🎲 Creating a toy model: \(family), \(realSize ?? "tiny"), seed \(seed) -> \(output)")
        printing.say(
            "   \(toy.tensorCount) tensors, \(toy.parameterCount) parameters, \(ByteFormat.text(toy.byteCount))"
        )
        let report = try printing.watched { try toy.write(to: output, overwrite: overwrite, context: $0) }
        guard !printing.json else {
            var json = report.json
            json.set(.string(family), at: "family")
            json.set(Int(exactly: seed).map { JSON($0) } ?? .string("\(seed)"), at: "seed")
            json.set(JSON(toy.parameterCount), at: "parameters")
            return Output.json(json)
        }
        ReportPrinter(report: report, json: false).show(
            done: "✅ Successfully created a toy model: \(output)",
            structure: "📁 Files:"
        )
    }
    /// Writes the first layers of a model.
    private func cut(_ origin: String) throws {
        let path = try HubDirectory.resolve(origin)
        try Destination.check(output, against: [path])
        let bridge = try AutoBridge.fromHF(path, catalog: plugins.catalog())
        let plan = try bridge.layerCutPlan(layers: layers ?? 1)
        printing.say("✂️  Keeping \(ByteFormat.counted(layers ?? 1, "layer")) of \(origin) -> \(output)")
        let report = try printing.watched { context in
            try bridge.exportCheckpoint(
                plan,
                to: output,
                options: ConversionOptions(overwrite: overwrite, context: context)
            )
        }
        ReportPrinter(report: report, json: printing.json).show(
            done: "✅ Successfully created a model of the first layers: \(output)",
            structure: "📁 Files:"
        )
    }
}
