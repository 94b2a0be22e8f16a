// The code of the article GettingStarted.

import BridgeCore
import TensorRuntime

// snippet.import
let bridge = try AutoBridge.fromHF("models/Ministral-3-3B-Instruct-2512-BF16")
let options = ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2))
try bridge.importCheckpoint(to: "megatron/ministral-3-3b", options: options)
// snippet.end

// snippet.plan
let plan = try bridge.plan(options)
for line in plan.lines { print(line.name, line.shape, line.elementType, line.notes) }
print(plan.byteCount, plan.peakMemory(options.context), plan.ledger.shared)
// snippet.end

// snippet.export
let exporter = try AutoBridge.fromMegatron("megatron/ministral-3-3b")
try exporter.exportCheckpoint(from: "megatron/ministral-3-3b", to: "exported")
// snippet.end

// snippet.weights
for weight in try exporter.exportWeights(from: "megatron/ministral-3-3b") {
    print(weight.name, weight.shape, try weight.bytes().count)
}
// snippet.end
