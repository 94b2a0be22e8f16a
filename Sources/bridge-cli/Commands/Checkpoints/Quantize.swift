import ArgumentParser
import BridgeCore

/// Writes a model with weights of 8 or 4 bits.
struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a model with weights of 8 or 4 bits, as compressed-tensors packs them.",
        discussion: """
            The matrices of the language model become whole numbers with a factor for each group of a row. With 4 bits, the \
            output layer gets 8. The embedding, norms, biases and the vision tower keep their type, and all other files their \
            bytes. Bridge, transformers and vLLM read the result. 'bridge generate' computes with it as it is, and with \
            --quantize the embedding gets 8 bits, too.

            EXAMPLES:
              bridge quantize model model-int4 --bits 4
              bridge quantize google/gemma-3-4b-it gemma-int8 --bits 8 --group-size 128
              bridge quantize model model-mixed --bits 4 \\
                --exception '*.linear_fc2.weight=int8' --exception '*.layers.0.*=none'
            """
    )

    @Argument(
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var model: String

    @Argument(help: ArgumentHelp("Output directory.", valueName: "directory"), completion: .directory)
    var output: String

    @Option(name: .long, help: ArgumentHelp("The bits of a weight: 8 or 4.", valueName: "n"))
    var bits: Int

    @Option(
        name: .customLong("group-size"),
        help: ArgumentHelp(
            "Weights of a row that share a factor: 32, 64 or 128. (default: \(QuantizationOptions.defaultGroupSize))",
            valueName: "n"
        )
    )
    var groupSize: Int?

    @Option(
        name: .customLong("exception"),
        help: ArgumentHelp(
            """
            Parameters with a type of their own, as Megatron-Core's names with * for any text. The type is int8, int4 or none. May \
            be given several times; the first that fits counts.
            """,
            valueName: "names=type"
        )
    )
    var exceptions: [String] = []

    @Flag(name: .customLong("dry-run"), help: "Print the plan and write nothing.")
    var isDryRun = false

    @Flag(name: .long, help: "Replace an existing destination.")
    var overwrite = false

    @OptionGroup var plugins: PluginOptions
    @OptionGroup var printing: RunOptions

    func validate() throws { _ = try quantization() }

    private func quantization() throws -> WeightQuantization {
        guard let type = QuantizationOptions.WeightType.allCases.first(where: { $0.bits == bits }) else {
            throw ValidationError("--bits is \(bits), expected 8 or 4")
        }
        return try WeightQuantization(
            type,
            groupSize: groupSize ?? QuantizationOptions.defaultGroupSize,
            exceptions: exceptions,
            option: "--"
        )
    }

    func run() throws {
        let path = try HubDirectory.resolve(model)
        try Destination.check(output, against: [path])
        try AutoBridge.checkExport(to: output, overwrite: overwrite)
        let bridge = try AutoBridge.fromHF(path, catalog: plugins.catalog())
        let plan = try bridge.quantizationPlan(try quantization())
        let report = try printing.watched { context in
            guard !isDryRun else {
                PlanPrinter(plan: plan, context: context, json: printing.json).show()
                return nil as ConversionReport?
            }
            printing.say("🔢 Quantizing: \(model) -> \(output), \(bits) bits")
            return try bridge.exportCheckpoint(
                plan,
                to: output,
                options: ConversionOptions(overwrite: overwrite, context: context)
            )
        }
        guard let report else { return }
        ReportPrinter(report: report, json: printing.json).show(
            done: "✅ Successfully quantized the model: \(output)",
            structure: "📁 Files:"
        )
    }
}
