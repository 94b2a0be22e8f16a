import BridgeCore
import TensorRuntime
import TestSupport
import Tokenizers

/// The margin of the tokens that a model's directory answered a conversation with.
func margin(
    of tokens: [Int],
    to conversation: Conversation,
    by model: String,
    date: String = "2025-01-01"
) throws -> Margin {
    let bridge = try AutoBridge.fromHF(model)
    var options = ProcessingOptions()
    options.template.date = try ChatDate(date)
    options.template.fillsDatePlaceholders = true
    let engine = TestEngine.cpu(threadCount: 1)
    let batch = TokenBatch(try bridge.processor().inputs(conversation, options: options), on: engine)
    let alive = try bridge.toModel(elementType: .float32, on: engine)
    return try Margin(of: tokens, to: batch.tokens, images: batch.images, by: alive)
}
