// The code of the article RunAModel.

import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

// snippet.load
let bridge = try AutoBridge.fromHF("models/Ministral-3-3B-Instruct-2512-BF16")
let processor = try bridge.processor()
let engine = CPUEngine(threadCount: 2)
let model = try bridge.toModel(on: engine)
// snippet.end

// snippet.inputs
let image = try ImageSource("table.png")
let inputs = try processor.inputs(Conversation(prompt: "What is on the table?", images: [image]))
let batch = TokenBatch(inputs, on: engine)
// snippet.end

// snippet.generate
let generator = Generator(model)
var decoder = processor.tokenizer.streamingDecoder(skippingSpecialTokens: true)
var options = Generator.Options(maxNewTokens: 100, endTokens: try bridge.endTokens())
options.sampling.temperature = 0.7
let timings = try generator.run(batch.tokens, images: batch.images, options: options) { step in
    if !step.isEnd { print(try decoder.append(step.token), terminator: "") }
    return true
}
print(try decoder.finish(), timings.decodeTokens)
// snippet.end

// snippet.cache
generator.promptCache = PromptCache(
    path: "system.safetensors",
    identity: .init(of: model, configuration: bridge.configuration().compactText, adapter: nil, quantization: nil)
)
// snippet.end

// snippet.many
var prompts = ["Hello", "What is 2 + 2?", "Name a color."]
var answers: [Int: [Int32]] = [:]
let totals = try BatchGenerator(model, batchSize: 2).run {
    guard !prompts.isEmpty else { return nil }
    let inputs = try processor.inputs(Conversation(prompt: prompts.removeFirst()))
    return .init(tokens: TokenBatch(inputs, on: engine).tokens, options: options)
} visit: { number, step in
    answers[number, default: []].append(step.token)
    return true
} finish: { number in
    print("prompt \(number) has \(answers[number, default: []].count) tokens")
}
print(totals.tokens, totals.passes)
// snippet.end

// snippet.forward
let output = try model.forward(batch, keepsHiddenStates: true)
print(output.logits.shape, output.hiddenStates.count)
// snippet.end

// snippet.megatron
let converted = try AutoBridge.fromMegatron("megatron/ministral-3-3b")
let same = try converted.toModel(weights: "megatron/ministral-3-3b", elementType: .float32, on: engine)
let gap = try LogitComparison(model.forward(batch).logits, same.forward(batch).logits)
print(gap.largestDifference, gap.sameArgmax, gap.positions)
// snippet.end

// snippet.freeze
model.freeze(languageModel: true, visionModel: true, visionProjection: false)
print(model.parameters.filter { $0.isTrainable }.map { $0.name })
// snippet.end
