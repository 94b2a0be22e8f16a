import ArgumentParser
import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// Runs a forward pass and writes the results.
struct Forward: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a forward pass and write the logits to a safetensors file.",
        discussion: """
            The inputs are a prompt, or a safetensors file with the keys of transformers: input_ids, attention_mask, \
            position_ids, token_type_ids, pixel_values, image_sizes, labels, num_items_in_batch. The output has logits [batch, tokens, vocabulary] in float32; \
            with a prompt, its tokens as input_ids [batch, tokens]; \
            with --hidden-states, hidden_states.0 (embeddings) to hidden_states.N (after the final norm); with labels, \
            the loss (mean over labels other than -100, or their sum divided by num_items_in_batch); with --gradients, grad.NAME of every parameter with a gradient, \
            by the names of transformers.

            With --tp and --pp the model is divided over ranks, which are started with mpirun; the first one writes.

            EXAMPLES:
              bridge forward --hf-model toy --prompt 'Hello' --output logits.safetensors
              bridge forward --hf-model toy --inputs inputs.safetensors \\
                --output out.safetensors --hidden-states
              bridge forward --hf-model toy --prompt 'Hello' --output logits.safetensors \\
                --tp 2 --pp 2
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var quantization: QuantizationOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var ranks: ModelRankOptions

    @Option(
        name: .long,
        help: ArgumentHelp("A safetensors file with the inputs instead of a prompt.", valueName: "file"),
        completion: .file(extensions: ["safetensors"])
    )
    var inputs: String?

    @Option(name: .long, help: ArgumentHelp("The safetensors file to write.", valueName: "file"), completion: .file())
    var output: String

    @Flag(name: .long, help: "Replace --output even if this command has not written it.")
    var overwrite = false

    @Flag(name: .customLong("hidden-states"), help: "Also write the hidden states of every layer.")
    var hiddenStates = false

    @Flag(name: .long, help: "Write the gradients of the loss; requires labels.")
    var gradients = false

    @Option(name: .long, help: ArgumentHelp("Write the logits of the last n positions only.", valueName: "n"))
    var last: Int?

    @OptionGroup var printing: OutputOptions

    func validate() throws {
        if let last, last < 1 { throw ValidationError("--last is \(last), expected 1 or more") }
        guard (inputs != nil) != prompt.isGiven else {
            throw ValidationError("give one of --prompt, --messages and --inputs")
        }
        if inputs != nil { try prompt.refuse(beside: "--inputs") }
        guard !gradients || inputs != nil else {
            throw ValidationError("--gradients requires --inputs with labels")
        }
        guard !gradients || ranks.layout.rankCount == 1 else {
            throw ValidationError("--gradients is supported on one rank only; remove --tp and --pp")
        }
    }

    func run() throws {
        // Checked before minutes of computation.
        let directory = URL(filePath: output).deletingLastPathComponent().path
        guard FileManager.default.isWritableFile(atPath: directory) else {
            throw BridgeError(.fileSystem, "cannot write \(output): \(directory) is not a writable directory")
        }
        try refuseToReplaceInputs()
        try OutputFile.check(output, of: "forward", overwrite: overwrite)
        // Until all is computed there is no result to keep.
        Interrupt.exitsImmediately(true)
        let groups = try ranks.groups(
            "bridge forward",
            models: [self.model.huggingFace],
            threads: self.model.threads.asked
        )
        let bridge = try model.bridge()
        let clock = ContinuousClock()
        let start = clock.now
        let model = try model.model(bridge, groups, quantization: quantization.choice())
        let loaded = clock.now
        let batch =
            try inputs.map { try PromptOptions.batch(inputs: $0, on: model.engine) }
            ?? TokenBatch(prompt.inputs(bridge.processor()), on: model.engine)
        let prepared = clock.now
        let features = try batch.images.isEmpty ? [] : model.vision?.features(of: batch.images)
        let seen = clock.now
        let result = try model.forward(batch, last: last, features: features, keepsHiddenStates: hiddenStates)
        let done = clock.now
        let states = result.hiddenStates.enumerated().map { ("hidden_states.\($0)", $1.cast(to: .float32)) }
        let supervised = try inputs.map { try self.loss(model, bridge, batch, inputs: $0) } ?? []
        let problem = LogitCheck.problem(result.logits.floats())
        if let problem {
            Output.printError("\(Style.yellow("warning:")) \(problem) in \(output): \(LogitCheck.advice)")
        }
        Interrupt.exitsImmediately(false)
        if groups.rank == 0 {
            try SafetensorsFile.write(
                (inputs == nil ? [("input_ids", Self.tokens(of: batch, on: model.engine))] : [])
                    + [("logits", result.logits)] + states + supervised,
                to: output,
                metadata: OutputFile.metadata(of: "forward")
            )
        }
        guard printing.json else {
            return Output.line(Style.green("✅ Wrote logits \(result.logits.shape) to \(output)"))
        }
        Output.json([
            "output": .string(output),
            "shape": result.logits.shape.json,
            "dtype": .string(model.decoder.embedding.tensor.elementType.rawValue),
            "timings": [
                "load_seconds": JSON(start.duration(to: loaded).seconds),
                "vision_seconds": JSON(prepared.duration(to: seen).seconds),
                "forward_seconds": JSON(seen.duration(to: done).seconds),
            ],
        ])
    }

    /// The tokens of a prompt, [B, T] int64, with which another program computes the same logits.
    private static func tokens(of batch: TokenBatch, on engine: any TensorEngine) -> Tensor {
        let tensor = Tensor(uninitialized: [batch.batch, batch.length], .int64, on: engine)
        engine.upload(tensor) { bytes in
            let numbers = bytes.bindMemory(to: Int64.self)
            for (index, token) in batch.tokens.enumerated() { numbers[index] = Int64(token) }
        }
        return tensor
    }

    /// Refuses to replace a file of the model or the inputs.
    private func refuseToReplaceInputs() throws {
        let isModels = [model.huggingFace, model.megatron, model.adapter].compactMap { $0 }.contains {
            Destination.relation(of: output, to: $0) != nil
        }
        let files = ([inputs, prompt.messages, prompt.tools].compactMap { $0 }) + prompt.images
        guard isModels || files.contains(where: { Destination.relation(of: output, to: $0) != nil }) else { return }
        throw BridgeError(
            .badArgument,
            "--output \(output) would replace a file of the \(isModels ? "model" : "inputs"); choose another file"
        )
    }

    /// The loss of the labels in the inputs, if there are any, and its gradients, if requested.
    private func loss(_ model: any CausalModel, _ bridge: AutoBridge, _ batch: TokenBatch, inputs: String) throws
        -> [(String, Tensor)]
    {
        guard let targets = try batch.targets(inputs: inputs) else {
            guard !gradients else {
                throw BridgeError(.badArgument, "\(inputs) has no labels, which --gradients requires")
            }
            return []
        }
        if gradients { model.freeze(languageModel: false, visionModel: false, visionProjection: false) }
        let divisor = try TokenBatch.lossDivisor(inputs: inputs) ?? targets.count { $0 >= 0 }
        let weight = 1 / Float(max(divisor, 1))
        guard gradients else {
            let pass = PipelineSchedule.MicroBatch(TrainingBatch(tokens: batch, targets: targets), weight: weight)
            let loss = Tensor(
                [Float(try PipelineSchedule(model).evaluate(pass))],
                shape: [],
                .float32,
                on: model.engine
            )
            let pipeline = model.decoder.parallelism.groups.pp
            try pipeline.broadcast(loss, from: pipeline.size - 1)
            return [("loss", loss)]
        }
        let loss = try model.loss(batch, targets: targets, weight: weight)
        let gradients = Gradients(of: loss)
        let found = model.parameters.compactMap { parameter in gradients[parameter.tensor].map { (parameter.name, $0) }
        }
        return try [("loss", loss)]
            + bridge.inHuggingFace(found).map { ("grad.\($0.name)", $0.tensor.cast(to: .float32)) }
    }
}
