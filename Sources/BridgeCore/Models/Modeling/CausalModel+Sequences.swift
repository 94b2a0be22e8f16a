import BridgeSupport
import Communication
import ModelSchema
import TensorRuntime

/// The next tokens of one of several sequences that go through a model together.
struct SequencePart {
    /// The tokens.
    var tokens: [Int32]
    /// The keys and values of the tokens before them.
    let cache: KVCache

    /// How many tokens of earlier parts of the same sequence are between the cache and these.
    var offset = 0

    /// The positions of the tokens.
    var positions: [Int32] { tokens.indices.map { Int32(cache.length + offset + $0) } }
}

extension CausalModel {
    /// One pass over the next tokens of several sequences, which may be of different lengths.
    ///
    /// The matrices are read once for all sequences, and there is no padding. Image tokens are ordinary tokens.
    ///
    /// - Parameter sequences: The new tokens of each, at least one, with its cache, which is another one for each.
    /// - Returns: The logits after the last token of each, float32 [sequences, V].
    /// - Throws: `BridgeError` for tokens that are not in the vocabulary.
    func logits(afterNext sequences: [SequencePart]) throws -> Tensor {
        let pipeline = decoder.parallelism.groups.pp
        let batch = TokenBatch(
            tokens: sequences.flatMap(\.tokens),
            positions: sequences.flatMap(\.positions)
        )
        let input_BTD =
            try decoder.parallelism.preProcess
            ? embeddings(of: batch, features: nil, isContinuation: true)
            : receivedStage(batch, columns: batch.length)
        let stream_BTD = try decoder(input_BTD, sequences)
        guard decoder.parallelism.postProcess else {
            try sendStage(stream_BTD)
            let shape = [sequences.count, decoder.configuration.vocabSize]
            let logits = Tensor(uninitialized: shape, .float32, on: engine)
            try pipeline.broadcast(logits, from: pipeline.size - 1)
            return logits
        }
        var last: [Int32] = []
        for sequence in sequences { last.append((last.last ?? -1) + Int32(sequence.tokens.count)) }
        let rows_TD = stream_BTD.reshaped([batch.length, -1])
        let ends = batch.length == last.count ? rows_TD : rows_TD.rows(last)
        let logits = try decoder.logits(decoder.finalNorm(ends)).contiguous()
        // Every rank has the result, so that each continues in the same way.
        if pipeline.size > 1 { try pipeline.broadcast(logits, from: pipeline.size - 1) }
        return logits
    }

    /// One pass over the next tokens of one sequence, with the bits of one pass for each of them.
    ///
    /// Only attention computes one token after the other; everything else takes all of them, row by row in the order of sums of a row
    /// alone. The matrices are read from memory once. Image tokens are ordinary tokens.
    ///
    /// - Parameters:
    ///   - tokens: The tokens, at least one.
    ///   - cache: The keys and values of the tokens before them; its ``KVCache/removableCount`` is at least the number of tokens.
    /// - Returns: The logits after each token.
    /// - Throws: `BridgeError` for tokens that are not in the vocabulary.
    func logits(afterEach tokens: [Int32], cache: KVCache) throws -> [[Float]] {
        let parts = tokens.enumerated().map { SequencePart(tokens: [$1], cache: cache, offset: $0) }
        let numbers = try withRowsAlone { try logits(afterNext: parts) }.floats()
        let width = numbers.count / tokens.count
        return tokens.indices.map { Array(numbers[$0 * width..<($0 + 1) * width]) }
    }
}
