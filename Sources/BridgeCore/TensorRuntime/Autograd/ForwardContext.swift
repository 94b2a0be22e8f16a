/// The mode of a forward pass: whether operations are recorded for the backward pass, and the random stream of dropout.
///
/// It holds for the code that a closure runs, on its thread, and for what is recomputed in its backward pass.
struct ForwardContext: Sendable {
    /// Whether operations on tracked tensors are recorded.
    var recordsOperations = true
    /// The random stream of dropout; nil without dropout.
    var dropout: RandomStream?
    /// The tokens of each sample that this rank has, and their number in all; nil for all of them.
    var tokens: (part: [Int32], whole: Int)?

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

/// Runs `body` with dropout, as torch in training mode does; outside of it nothing is dropped.
///
/// - Parameters:
///   - stream: The random stream. Each layer uses the stream of its name.
///   - body: The forward pass.
/// - Returns: What `body` returns.
/// - Throws: What `body` throws.
public func withDropout<Result>(_ stream: RandomStream, _ body: () throws -> Result) rethrows -> Result {
    var context = ForwardContext.current
    context.dropout = stream
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
