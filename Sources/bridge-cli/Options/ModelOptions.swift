import ArgumentParser
import BridgeCore
import Communication
import TensorRuntime

/// The model, and its computation.
struct ModelOptions: ParsableArguments {
    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var huggingFace: String?

    @Option(
        name: .customLong("megatron-path"),
        help: ArgumentHelp(
            "A Megatron checkpoint of any layout with the weights; --hf-model is optional then.",
            valueName: "path"
        ),
        completion: .directory
    )
    var megatron: String?

    @Option(
        name: .customLong("dtype"),
        help: ArgumentHelp(
            "Compute in float32 or bfloat16. (default: bfloat16 for bfloat16 weights, else float32)",
            valueName: "type"
        )
    )
    var elementType: ComputedType?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "LoRA or DoRA adapter to load: a directory or hub id in PEFT's or mistral-finetune's format, or a checkpoint of a run.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var adapter: String?

    /// The directory with the adapters; nil for none.
    func adapterDirectory() throws -> String? { try adapter.map { try HubDirectory.resolve($0, for: .adapter) } }

    @OptionGroup var threads: ThreadOptions
    @OptionGroup var progress: ProgressOptions

    @OptionGroup var plugins: ModelPluginOptions

    /// The supported element types of computation.
    enum ComputedType: String, ExpressibleByArgument, CaseIterable {
        case float32
        case bfloat16

        var elementType: ElementType { self == .float32 ? .float32 : .bfloat16 }
    }

    func validate() throws {
        guard huggingFace != nil || megatron != nil else {
            throw ValidationError("name a model with --hf-model, or a checkpoint with --megatron-path")
        }
    }

    /// The model's description.
    func bridge() throws -> AutoBridge {
        let catalog = try plugins.catalog()
        if let huggingFace { return try .fromHF(HubDirectory.resolve(huggingFace), catalog: catalog) }
        return try .fromMegatron(megatron ?? "", catalog: catalog)
    }

    /// Loads the model.
    ///
    /// - Parameters:
    ///   - bridge: The model's description.
    ///   - groups: The ranks that the model is divided over.
    ///   - verification: Compares a checkpoint's weights with their checksums in the background; nil to verify first.
    ///   - quantization: Which weights are quantized while they are read; nil for none.
    /// - Returns: The model with its adapters, or this rank's part of it.
    /// - Throws: `BridgeError` for weights that cannot be used.
    func model(
        _ bridge: AutoBridge,
        _ groups: ProcessGroupCollection = .single,
        verification: WeightVerification? = nil,
        quantization: WeightQuantization? = nil
    ) throws -> any CausalModel {
        guard adapter == nil || groups.world.size == 1 else {
            throw BridgeError(
                .badArgument,
                "--adapter is supported on one rank only; merge it into the model with 'bridge adapter merge', or remove --tp and "
                    + "--pp"
            )
        }
        var provider = bridge.toMegatronProvider()
        (provider.tensorModelParallelSize, provider.pipelineModelParallelSize) = (groups.tp.size, groups.pp.size)
        let model = try bridge.toModel(
            weights: megatron,
            elementType: elementType?.elementType,
            on: CPUEngine(threadCount: threads.count),
            parallelism: provider.parallelism(in: groups),
            verification: verification,
            quantization: quantization
        )
        if let quantization { Self.report(QuantizationSummary(model.parameters, quantization), on: groups) }
        if let adapter = try adapterDirectory() {
            let adapters = try bridge.loadAdapters(from: adapter, on: model)
            for parameter in adapters.parameters { parameter.isTrainable = false }
            for note in adapters.notes { Output.printError("warning: \(note)") }
        }
        return model
    }

    /// Prints what was quantized.
    private static func report(_ summary: QuantizationSummary, on groups: ProcessGroupCollection) {
        guard groups.rank == 0 else { return }
        for sentence in summary.sentences { Output.printError(sentence) }
    }
}
