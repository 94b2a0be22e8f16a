/// The mode of a forward pass: whether operations are recorded for the backward pass, and the random stream of dropout.
///
/// It holds for the code that a closure runs, on its thread, and for what is recomputed in its backward pass.
struct ForwardContext: Sendable {
    /// Whether operations on tracked tensors are recorded.
    var recordsOperations = true
    /// The random stream of dropout; nil without dropout.
    var dropout: RandomStream?
    /// Alpha of the noise that is added to embeddings, of which dropout's stream is the source; 0 without noise.
    var embeddingNoise: Float = 0
    /// The tokens of each sample that this rank has, and their number in all; nil for all of them.
    var tokens: (part: [Int32], whole: Int)?

    /// Whether layers apply their adapters.
    var appliesAdapters = true
    /// Whether each row of a product is computed as if it were the only one.
    var multipliesRowsAlone = false

    @TaskLocal static var current = ForwardContext()
}

/// Runs `body` without recording operations for a backward pass, as `torch.no_grad` does.
///
/// - Parameter body: What is computed; its results are not tracked.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
public func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
    var context = ForwardContext.current
    context.recordsOperations = false
    return try ForwardContext.$current.withValue(context, operation: body)
}

/// Runs `body` with the layers alone, as `disable_adapter` of peft does.
///
/// - Parameter body: What is computed with the weights that the adapters started from.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
public func withoutAdapters<Result>(_ body: () throws -> Result) rethrows -> Result {
    var context = ForwardContext.current
    context.appliesAdapters = false
    return try ForwardContext.$current.withValue(context, operation: body)
}

/// Runs `body` with each row of a product with weights computed as if it were the only one, so that its bits do not depend on the
/// others; weights are still read from memory once.
///
/// - Parameter body: What is computed.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
public func withRowsAlone<Result>(_ body: () throws -> Result) rethrows -> Result {
    var context = ForwardContext.current
    context.multipliesRowsAlone = true
    return try ForwardContext.$current.withValue(context, operation: body)
}

/// Runs `body` with dropout, as torch in training mode does; outside of it nothing is dropped.
///
/// - Parameters:
///   - stream: The random stream. Each layer uses the stream of its name.
///   - embeddingNoise: Alpha of the noise of the embeddings (NEFTune); 0 for none.
///   - body: The forward pass.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
public func withDropout<Result>(
    _ stream: RandomStream,
    embeddingNoise: Float = 0,
    _ body: () throws -> Result
) rethrows -> Result {
    var context = ForwardContext.current
    context.dropout = stream
    context.embeddingNoise = embeddingNoise
    return try ForwardContext.$current.withValue(context, operation: body)
}

/// Runs `body` for some tokens of each sample, so that what is dropped of them is what one rank with all tokens drops.
///
/// - Parameters:
///   - tokens: The columns of the batch that this rank has; nil for all of them.
///   - whole: The number of columns.
///   - body: The forward pass.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
package func withTokens<Result>(_ tokens: [Int32]?, of whole: Int, _ body: () throws -> Result) rethrows -> Result {
    guard let tokens else { return try body() }
    var context = ForwardContext.current
    context.tokens = (tokens, whole)
    return try ForwardContext.$current.withValue(context, operation: body)
}

/// The noise that is added to embeddings in this forward pass; nil for none.
package func currentEmbeddingNoise() -> (alpha: Float, stream: RandomStream)? {
    let context = ForwardContext.current
    guard context.embeddingNoise > 0, let stream = context.dropout else { return nil }
    return (context.embeddingNoise, stream)
}
