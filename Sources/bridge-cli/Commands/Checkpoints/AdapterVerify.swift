import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import TensorRuntime

/// Compares with PEFT.
struct AdapterVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare the logits of a model with an adapter with those of PEFT.",
        discussion: """
            PEFT's logits are computed in float32 by the user's own Python with torch, transformers and peft: python3, or the \
            one that BRIDGE_PYTHON names. An adapter of a run is exported to PEFT's format first. With --peft-logits they come \
            from a safetensors file instead: input_ids and logits, and for images what the processor returned.

            EXAMPLES:
              bridge adapter verify --hf-model toy --adapter run/iter_0000100
              bridge adapter verify --hf-model toy --adapter peft \\
                --peft-logits logits.safetensors
            """
    )

    @OptionGroup var model: ModelOptions

    @Option(name: .long, help: ArgumentHelp("The prompt.", valueName: "text"))
    var prompt: String?

    @Option(name: .customLong("image"), help: ArgumentHelp("An image before the prompt.", valueName: "path"))
    var images: [String] = []

    @Option(
        name: .customLong("peft-logits"),
        help: ArgumentHelp("A safetensors file with inputs and PEFT's logits for them.", valueName: "file"),
        completion: .file(extensions: ["safetensors"])
    )
    var reference: String?

    @OptionGroup var closeness: LogitTolerance
    @OptionGroup var output: OutputOptions

    private static let standardPrompt = "The quick brown fox jumps over the lazy dog."

    func validate() throws {
        guard model.adapter != nil else { throw ValidationError("--adapter is missing: give the adapter") }
        guard model.huggingFace != nil else {
            throw ValidationError("--hf-model is missing: PEFT needs the Hugging Face model of the adapter")
        }
        guard reference == nil || prompt == nil && images.isEmpty else {
            throw ValidationError("--prompt and --image have no effect with --peft-logits, whose file has the inputs")
        }
    }

    func run() throws {
        // Until all is computed there is no result to keep.
        Interrupt.exitsImmediately(true)
        let bridge = try model.bridge()
        let engine = CPUEngine(threadCount: model.threads.count)
        let type = model.elementType?.elementType ?? .float32
        let loaded = try bridge.toModel(weights: model.megatron, elementType: type, on: engine)
        let directory = try model.adapterDirectory() ?? ""
        let adapters = try bridge.loadAdapters(from: directory, on: loaded)
        for note in adapters.notes { Output.printError("warning: \(note)") }
        let scratch = FileManager.default.temporaryDirectory.appending(path: "bridge-peft-\(UUID().uuidString)").path
        defer { try? Files.remove(scratch) }
        let path = reference ?? Files.join(scratch, "logits.safetensors")
        if reference == nil {
            try Files.createDirectory(scratch)
            try peftLogits(bridge, adapter: directory, in: scratch, to: path)
        }
        let theirs = try Self.logits(in: path, on: engine)
        let batch = try PromptOptions.batch(inputs: path, ignoring: ["logits"], on: engine)
        let ours = try loaded.forward(batch).logits
        guard ours.count == theirs.count else {
            throw BridgeError(
                .corruptInput,
                "\(path) has logits \(theirs.shape) for input_ids that give logits \(ours.shape); expected the same shape"
            )
        }
        let report = try LogitReport(
            theirs,
            ours.cast(to: .float32).reshaped(theirs.shape),
            names: ("PEFT", model.adapter ?? directory),
            tolerance: closeness.tolerance
        )
        Interrupt.exitsImmediately(false)
        try report.show(json: output.json)
    }

    private static func logits(in path: String, on engine: any TensorEngine) throws -> Tensor {
        let file = try SafetensorsFile(path: path)
        guard let found = file.tensors.first(where: { $0.name == "logits" }) else {
            throw BridgeError(
                .corruptInput,
                "\(path) has no tensor logits, expected input_ids and PEFT's logits for them"
            )
        }
        return Tensor(try TensorReader().floats(of: TensorView(found)), shape: found.shape, on: engine)
    }

    /// Has the user's PEFT compute logits for the prompt.
    private func peftLogits(_ bridge: AutoBridge, adapter: String, in directory: String, to path: String) throws {
        guard let base = bridge.directory?.path else {
            throw BridgeError(.badArgument, "--hf-model is not a directory with a Hugging Face model")
        }
        var peft = adapter
        // A checkpoint of a run has an adapter_config.json too, in Megatron's words.
        let weights = ["adapter_model.safetensors", "adapter_model.bin"].map { Files.join(adapter, $0) }
        if !weights.contains(where: Files.exists) {
            let shape = try bridge.shapeOnlyModel(elementType: .bfloat16, on: CPUEngine(threadCount: 1))
            let exact = try bridge.loadAdapters(from: adapter, on: shape, elementType: .float32, partType: .float32)
            peft = Files.join(directory, "adapter")
            try bridge.exportAdapter(exact, on: shape, to: peft, baseModel: base)
        }
        let conversation = Conversation(
            prompt: prompt ?? Self.standardPrompt,
            images: try images.map { try ImageSource($0) }
        )
        var inputs = InputsFile()
        try inputs.add(bridge.processor().inputs(conversation), prefix: "")
        let given = Files.join(directory, "inputs.safetensors")
        try inputs.write(to: given)
        try UserPython.run(
            Self.script,
            [base, peft, given, path],
            packages: "torch, transformers, peft and safetensors"
        )
    }

    private static let script = """
        import sys, torch
        from peft import PeftModel
        from safetensors.torch import load_file, save_file
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
        base, adapter, given, path = sys.argv[1:]
        config = AutoConfig.from_pretrained(base)
        kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
        model = kind.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        model = PeftModel.from_pretrained(model, adapter).eval()
        tensors = load_file(given)
        inputs = dict(tensors)
        if config.model_type == "gemma3":
            inputs.pop("image_sizes", None)
            inputs["token_type_ids"] = (inputs["input_ids"] == config.image_token_index).long()
        with torch.no_grad():
            logits = model(**inputs, use_cache=False).logits
        save_file({**tensors, "logits": logits.float().contiguous()}, path)
        """
}
