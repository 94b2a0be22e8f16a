import BridgeSupport
import Communication
import ModelSchema
public import TensorRuntime

/// A model that continues text, multimodal or text-only, as a family's provider creates it.
public protocol CausalModel: AnyObject, Sendable {
    /// The language model.
    var decoder: TransformerDecoder { get }
    /// The vision tower with its projector; nil for a model that only reads.
    var vision: (any VisionEncoder)? { get }
    /// The token that is replaced by image features; nil for a text-only model.
    var imageTokenID: Int? { get }
    /// Whether the tokens of one image see each other in both directions.
    var imagesAttendBothWays: Bool { get }
}

/// A vision tower and the projector of its output to the hidden size of the language model.
public protocol VisionEncoder: AnyObject, Sendable {
    /// The tower's parameters.
    var towerParameters: [Parameter] { get }
    /// The projector's parameters.
    var projectorParameters: [Parameter] { get }
    /// Parameters of the checkpoint that nothing is computed with; they are kept and never trained.
    var unusedParameters: [Parameter] { get }

    /// The features of images.
    ///
    /// - Parameter images: Pixel values [3, height, width], float32, processed as the family's processor does.
    /// - Returns: [features, D] for each image.
    /// - Throws: `BridgeError` for an image of a size that the tower does not support.
    func features(of images: [Tensor]) throws -> [Tensor]
}

extension VisionEncoder {
    /// None.
    public var unusedParameters: [Parameter] { [] }
}

/// The result of a forward pass.
public struct ModelOutput: Sendable {
    /// float32 [B, n, V] for the n last positions that were requested.
    public var logits: Tensor
    /// The embeddings, then the output of every layer, the last one after the final norm, [B, T, D] each; empty unless
    /// requested.
    public var hiddenStates: [Tensor]
}

extension CausalModel {
    /// The default for a text-only model.
    public var vision: (any VisionEncoder)? { nil }
    /// The default for a text-only model.
    public var imageTokenID: Int? { nil }
    /// Plain causal attention.
    public var imagesAttendBothWays: Bool { false }

    /// All parameters.
    public var parameters: [Parameter] {
        decoder.parameters + (vision.map { $0.towerParameters + $0.projectorParameters + $0.unusedParameters } ?? [])
    }

    /// The parts that a recipe can name, with their parameters: `language_model` and, for a multimodal model,
    /// `vision_tower` and `multi_modal_projector`.
    public var parts: [(name: String, parameters: [Parameter])] {
        [("language_model", decoder.parameters)]
            + (vision.map {
                [("vision_tower", $0.towerParameters), ("multi_modal_projector", $0.projectorParameters)]
            } ?? [])
    }

    /// The parameters of the parts with the given names, each once: those of ``parts``, `word_embeddings` and `output_layer`.
    public func parameters(ofParts names: [String]) -> [Parameter] {
        let ends = [("word_embeddings", [decoder.embedding]), ("output_layer", [decoder.output.weight])]
        var seen: Set<ObjectIdentifier> = []
        return (parts + ends).filter { names.contains($0.name) }.flatMap(\.parameters).filter {
            seen.insert(ObjectIdentifier($0)).inserted
        }
    }

    /// The engine of the model.
    public var engine: any TensorEngine { decoder.embedding.tensor.engine }

    /// Decides which parts of the model are trained.
    ///
    /// - Parameters:
    ///   - languageModel: Whether the language model is frozen.
    ///   - visionModel: Whether the vision tower is frozen.
    ///   - visionProjection: Whether the projector is frozen.
    public func freeze(languageModel: Bool, visionModel: Bool, visionProjection: Bool) {
        for parameter in decoder.parameters { parameter.isTrainable = !languageModel }
        for parameter in vision?.towerParameters ?? [] { parameter.isTrainable = !visionModel }
        for parameter in vision?.projectorParameters ?? [] { parameter.isTrainable = !visionProjection }
    }

    /// An empty cache that fits the model.
    ///
    /// - Parameters:
    ///   - capacity: How many tokens there is room for at first.
    ///   - keepsAll: Whether layers with a window keep tokens that no later one sees, too.
    /// - Returns: The cache, for one sequence.
    public func makeCache(capacity: Int, keepsAll: Bool = false) -> KVCache {
        KVCache(
            windows: decoder.parallelism.layers.map { keepsAll ? nil : decoder.form.layers[$0].window },
            capacity: capacity
        )
    }

    /// One pass over tokens.
    ///
    /// - Parameters:
    ///   - batch: The tokens and images.
    ///   - cache: The keys and values of earlier tokens; the batch is then one sequence.
    ///   - last: The logits of how many last positions; nil for all.
    ///   - features: The features of the batch's images, where they are known already.
    ///   - keepsHiddenStates: Whether the states between the layers are returned.
    /// - Returns: Logits and states.
    /// - Throws: `BridgeError` for tokens that are not in the vocabulary and images that do not fit their tokens.
    public func forward(
        _ batch: TokenBatch,
        cache: KVCache? = nil,
        last: Int? = nil,
        features: [Tensor]? = nil,
        keepsHiddenStates: Bool = false
    ) throws -> ModelOutput {
        let pipeline = decoder.parallelism.groups.pp
        let isContinuation = cache.map { $0.length > 0 } ?? false
        let blocks = try imageBlocks(of: batch)
        // Nil where the stage before sends it.
        let hidden_BTD =
            try decoder.takenInputTensor()
            ?? (decoder.parallelism.preProcess
                ? embeddings(of: batch, features: features, isContinuation: isContinuation) : nil)
        var states: [Tensor] = []
        let visit: ((Tensor) -> Void)? = keepsHiddenStates ? { states.append($0) } : nil
        var stream_BTD: Tensor
        if let cache, let last, !keepsHiddenStates, batch.batch == 1, batch.length > Self.longestPass {
            stream_BTD = try inPasses(hidden_BTD, batch, blocks: blocks, cache: cache, last: last)
        } else {
            let input_BTD = try hidden_BTD ?? receivedStage(batch, columns: batch.length)
            stream_BTD = try decoder(input_BTD, batch, blocks: blocks, cache: cache, visit: visit)
        }
        guard decoder.parallelism.postProcess else {
            try sendStage(stream_BTD)
            let count = keepsHiddenStates ? batch.length : min(last ?? batch.length, batch.length)
            let shape = [batch.batch, last.map { min($0, count) } ?? count, decoder.configuration.vocabSize]
            let logits = Tensor(uninitialized: shape, .float32, on: engine)
            try pipeline.broadcast(logits, from: pipeline.size - 1)
            return ModelOutput(logits: logits, hiddenStates: try ofAllStages(states, batch))
        }
        if let last, last < stream_BTD.shape[1], !keepsHiddenStates {
            stream_BTD = stream_BTD.narrowed(1, to: stream_BTD.shape[1] - last..<stream_BTD.shape[1])
        }
        var normalized_BTD = decoder.finalNorm(stream_BTD)
        if keepsHiddenStates {
            states.append(normalized_BTD)
            if let last { normalized_BTD = normalized_BTD.narrowed(1, to: max(0, batch.length - last)..<batch.length) }
        }
        let logits = try decoder.logits(normalized_BTD).contiguous()
        // Every rank has the result, so that each continues in the same way.
        if pipeline.size > 1 { try pipeline.broadcast(logits, from: pipeline.size - 1) }
        return ModelOutput(logits: logits, hiddenStates: try ofAllStages(states, batch))
    }

    /// This many tokens at once are enough for fast matrix products; more would only take memory.
    private static var longestPass: Int { 2048 }

    /// The residual stream of the last tokens of a long sequence, which goes through the decoder part by part.
    ///
    /// Of the stages of a pipeline each gives a part to the next one when it is done; the caller does so with the last part.
    private func inPasses(
        _ hidden_BTD: Tensor?,
        _ batch: TokenBatch,
        blocks: [Int32]?,
        cache: KVCache,
        last: Int
    ) throws -> Tensor {
        var first = 0
        while true {
            var end = min(first + Self.longestPass, batch.length)
            if batch.length - end < last { end = batch.length }
            // The tokens of an image attend to each other, so they are in one pass.
            while end < batch.length, let blocks, blocks[end] > 0, blocks[end] == blocks[end - 1] { end += 1 }
            let range = first..<end
            let part = TokenBatch(tokens: Array(batch.tokens[range]), positions: Array(batch.positions[range]))
            let stream = try decoder(
                hidden_BTD?.narrowed(1, to: range) ?? receivedStage(part, columns: part.length),
                part,
                blocks: blocks.map { Array($0[range]) },
                cache: cache
            )
            if end == batch.length { return stream }
            if !decoder.parallelism.postProcess { try sendStage(stream) }
            first = end
        }
    }

    /// The embeddings with the features of images at the image tokens, [B, T, D].
    func embeddings(of batch: TokenBatch, features: [Tensor]?, isContinuation: Bool) throws -> Tensor {
        guard decoder.parallelism.preProcess else { throw Self.missingInput }
        let table = decoder.embedding
        let vocabulary = table.shard?.shape[0] ?? table.tensor.shape[0]
        // An image token that the model generates is an ordinary token.
        let areWords = isContinuation && batch.images.isEmpty
        let imageTokenID = areWords ? nil : imageTokenID
        // An image token may be outside the vocabulary, since its embedding is not read.
        let words = imageTokenID.map { id in batch.tokens.map { $0 == Int32(id) ? 0 : $0 } } ?? batch.tokens
        if let wrong = words.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
            throw BridgeError(
                .badArgument,
                "token \(wrong) is not in the vocabulary of \(vocabulary); the tokenizer does not belong to this model"
            )
        }
        let embedded = try EmbeddingNoise.added(to: decoder.embed(words), batch)
        let shape = [batch.batch, batch.length, embedded.shape[1]]
        let places =
            imageTokenID.map { id in
                batch.tokens.indices.filter { batch.tokens[$0] == Int32(id) }.map(Int32.init)
            } ?? []
        guard !places.isEmpty || !batch.images.isEmpty else { return embedded.reshaped(shape) }
        let features = try features ?? seen(batch.images)
        let count = features.reduce(0) { $0 + $1.shape[0] }
        guard count == places.count else {
            throw BridgeError(
                .badArgument,
                "the images have \(count) features, but the tokens have \(places.count) image placeholders (token \(imageTokenID ?? 0)); expected one placeholder per feature"
            )
        }
        let all = Tensor.concatenated(features, dimension: 0).cast(to: embedded.elementType)
        let merged = embedded.replacingRows(places, with: all)
        return merged.reshaped(shape)
    }

    /// The image number of each token of a batch in which images attend in both directions; nil for all others.
    func imageBlocks(of batch: TokenBatch) throws -> [Int32]? {
        guard imagesAttendBothWays, let id = imageTokenID else { return nil }
        let (values, sign) = batch.tokenTypes.map { ($0, 1) } ?? (batch.tokens, Int32(id))
        let isImage = values.map { $0 == sign }
        return isImage.contains(true) ? blocks(of: batch, isImage) : nil
    }

    private func seen(_ images: [Tensor]) throws -> [Tensor] {
        guard !images.isEmpty else { return [] }
        guard let vision else {
            let found = images.count == 1 ? "1 image was" : "\(images.count) images were"
            throw BridgeError(.badArgument, "\(found) given to a model that only reads text")
        }
        return try vision.features(of: images)
    }

    /// The image number of each token of an image, from 1 on; 0 for all other tokens.
    private func blocks(of batch: TokenBatch, _ isImage: [Bool]) -> [Int32] {
        var blocks = [Int32](repeating: 0, count: batch.tokens.count)
        var number: Int32 = 0
        for index in blocks.indices where isImage[index] {
            let isContinuation = index % batch.length > 0 && blocks[index - 1] > 0
            if !isContinuation { number += 1 }
            // Later images of a conversation must not have the numbers of earlier ones, which are in the cache.
            blocks[index] = number + batch.positions[0]
        }
        return blocks
    }
}
