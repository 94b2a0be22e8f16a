// The code of the article RunAModel for several ranks; Examples/DistributedModel is a whole program.

import BridgeCore
import Communication
import TensorRuntime

let source = "models/Ministral-3-3B-Instruct-2512-BF16"
let tokens: [Int32] = [1, 22177, 4304]

// snippet.ranks
let ranks = try ThreadWorld.run(2) { world in
    let bridge = try AutoBridge.fromHF(source)
    var provider = bridge.toMegatronProvider()
    provider.tensorModelParallelSize = 2
    let model = try provider.provideDistributedModel(in: world, on: CPUEngine(threadCount: 1))
    try bridge.loadWeights(into: model)
    return try model.forward(TokenBatch(tokens: tokens)).logits.shape
}
print(ranks)
// snippet.end

// snippet.stages
let provider = try AutoBridge.fromHF(source).toMegatronProvider()
let engine = CPUEngine(threadCount: 2)
let late = try provider.provide(preProcess: false, on: engine)
try provider.bridge.loadWeights(into: late)
late.setInputTensor(.zeros([1, tokens.count, late.decoder.configuration.hiddenSize], .float32, on: engine))
print(try late.forward(TokenBatch(tokens: tokens)).logits.shape)
// snippet.end
