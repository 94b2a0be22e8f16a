import BridgeSupport
import Communication
public import Recipes
public import TensorRuntime

extension CausalModel {
    /// Decides which parts of the model are trained, by the names of a recipe.
    ///
    /// Without adapters everything is that is not frozen; with them nothing is but what the recipe names.
    ///
    /// - Throws: `BridgeError` for a part that no model has, and for one that is to be frozen and trained.
    public func freeze(by recipe: Recipe) throws {
        let model = recipe.model
        guard recipe.peft.scheme != .none else {
            return freeze(
                languageModel: model.freezeLanguageModel,
                visionModel: model.freezeVisionModel,
                visionProjection: model.freezeVisionProjection
            )
        }
        let frozen = [
            "language_model": model.freezeLanguageModel, "vision_tower": model.freezeVisionModel,
            "multi_modal_projector": model.freezeVisionProjection, "word_embeddings": model.freezeLanguageModel,
            "output_layer": model.freezeLanguageModel,
        ]
        for name in recipe.peft.modulesToSave {
            guard let isFrozen = frozen[name] else {
                throw BridgeError(
                    .badConfiguration,
                    "peft.modules_to_save names \(name); a model has \(frozen.keys.sorted().joined(separator: ", "))"
                )
            }
            guard !isFrozen else {
                throw BridgeError(.badConfiguration, "\(name) is to be frozen and in peft.modules_to_save; choose one")
            }
        }
        func isFixed(_ name: String) -> Bool { !recipe.peft.modulesToSave.contains(name) }
        freeze(
            languageModel: isFixed("language_model"),
            visionModel: isFixed("vision_tower"),
            visionProjection: isFixed("multi_modal_projector")
        )
        for parameter in parameters(ofParts: recipe.peft.modulesToSave) { parameter.isTrainable = true }
    }

    /// The weighted sum of the cross entropies of tokens to come.
    ///
    /// - Parameters:
    ///   - batch: The tokens and images.
    ///   - targets: For each of the B x T tokens the one that follows; negative where none is supervised.
    ///   - weight: What each cross entropy is multiplied by.
    ///   - recomputation: What is recomputed in the backward pass.
    ///   - features: The features of the batch's images, where they are known already.
    /// - Returns: float32, a scalar, tracked where something is trained.
    /// - Throws: As ``forward(_:cache:last:features:keepsHiddenStates:)``.
    public func loss(
        _ batch: TokenBatch,
        targets: [Int32],
        weight: Float = 1,
        recomputation: Recipe.Recomputation = .none,
        features: [Tensor]? = nil
    ) throws -> Tensor {
        let stream_BTD = try stage(batch, input: nil, recomputation: recomputation, features: features)
        return try loss(of: stream_BTD, batch, targets: targets, weight: weight)
    }

    /// The residual stream after this rank's stage, for the tokens of this rank.
    ///
    /// - Parameters:
    ///   - batch: The tokens and images, the same on all ranks that share them.
    ///   - input: The residual stream of the stage before; nil for that of ``setInputTensor(_:)`` and for the first stage.
    ///   - chunk: The virtual stage, of those of this rank.
    ///   - recomputation: What is recomputed in the backward pass.
    ///   - features: The features of the batch's images, where they are known already.
    /// - Returns: float32 [B, T of this rank, D].
    /// - Throws: As ``loss(_:targets:weight:recomputation:features:)``.
    public func stage(
        _ batch: TokenBatch,
        input: Tensor?,
        chunk: Int = 0,
        recomputation: Recipe.Recomputation = .none,
        features: [Tensor]? = nil
    ) throws -> Tensor {
        let blocks = try imageBlocks(of: batch)
        // Images are merged before the sequence is divided, so that no rank has to know what others see of them.
        let hidden_BTD =
            try input ?? decoder.takenInputTensor()
            ?? decoder.parallelism.own(embeddings(of: batch, features: features, isContinuation: false))
        return try withTokens(decoder.parallelism.columns(of: batch), of: batch.length) {
            try decoder(hidden_BTD, batch, blocks: blocks, chunk: chunk, recomputation: recomputation)
        }
    }

    /// The weighted sum of the cross entropies of this rank's tokens, from the residual stream after the last layer.
    public func loss(of stream_BTD: Tensor, _ batch: TokenBatch, targets: [Int32], weight: Float = 1) throws -> Tensor {
        try withSupervised(stream_BTD, batch, targets) { own in
            let weights = [Float](repeating: weight, count: own.targets.count)
            return try decoder.output.crossEntropy(own.rows_ND, targets: own.targets, weights: weights)
        }
    }

    /// The weighted sum of the cross entropies of this rank's tokens, whose weights depend on the cross entropies.
    ///
    /// A loss that is a function of the log-probabilities of whole answers has the gradient of this sum, with the derivatives
    /// of the loss as weights.
    ///
    /// - Parameters:
    ///   - stream_BTD: The residual stream after the last layer.
    ///   - batch: The tokens.
    ///   - targets: For each of the B x T tokens the one that follows; negative where none is supervised.
    ///   - weights: From the scores of this rank's targets, B x T of this rank with nil where none is supervised, what each
    ///     cross entropy is multiplied by. All ranks along the tensor and the context axes call it.
    /// - Returns: float32, a scalar, tracked where something is trained.
    /// - Throws: What a group or `weights` throws.
    public func loss(
        of stream_BTD: Tensor,
        _ batch: TokenBatch,
        targets: [Int32],
        weights: (_ scores: [TargetScore?]) throws -> [Float]
    ) throws -> Tensor {
        try withSupervised(stream_BTD, batch, targets) { own in
            let all = try weights(own.scores(decoder.output))
            let chosen = own.places.map { all[$0] }
            return try decoder.output.crossEntropy(own.rows_ND, targets: own.targets, weights: chosen)
        }
    }

    /// How likely this rank's targets are, from the residual stream after the last layer.
    ///
    /// - Parameters:
    ///   - stream_BTD: The residual stream.
    ///   - batch: The tokens.
    ///   - targets: For each of the B x T tokens the one that follows; negative where none is supervised.
    /// - Returns: B x T of this rank, nil where none is supervised.
    /// - Throws: What a group throws.
    public func targetScores(of stream_BTD: Tensor, _ batch: TokenBatch, targets: [Int32]) throws -> [TargetScore?] {
        try withSupervised(stream_BTD, batch, targets) { try $0.scores(decoder.output) }
    }

    /// Runs `body` with the supervised tokens of this rank.
    private func withSupervised<Result>(
        _ stream_BTD: Tensor,
        _ batch: TokenBatch,
        _ targets: [Int32],
        _ body: (SupervisedTokens) throws -> Result
    ) throws -> Result {
        let parallelism = decoder.parallelism
        let (all, targets) = (targets, try parallelism.own(targets, of: batch))
        let places = targets.indices.filter { targets[$0] >= 0 }
        let (numbers, count) = try parallelism.numbers(ofSupervised: all, in: batch)
        func chosen(_ x: Tensor) -> Tensor {
            let rows = x.reshaped([targets.count, -1])
            // Only what is supervised goes through the output layer, which is much of the work for large vocabularies.
            return places.count == targets.count ? rows : rows.rows(places.map(Int32.init))
        }
        let rows_ND =
            parallelism.sequenceParallel
            ? try chosen(parallelism.entering(decoder.finalNorm(stream_BTD)))
            : try parallelism.entering(decoder.finalNorm(chosen(stream_BTD)))
        let own = SupervisedTokens(
            rows_ND: rows_ND,
            targets: places.map { targets[$0] },
            places: places,
            count: targets.count
        )
        return try withTokens(numbers, of: count) { try body(own) }
    }

    /// Floating-point operations of training on a number of text tokens: three times those of a forward pass, in which
    /// each weight of a matrix takes two for each token.
    ///
    /// Source: Kaplan et al., arXiv 2001.08361, section 2.1. Attention between tokens and what frozen parts save is not in it.
    public func trainingOperations(tokens: Int) -> Double {
        let matrices = decoder.layers.flatMap(\.parameters).filter { $0.tensor.rank > 1 } + [decoder.output.weight]
        return 6 * Double(tokens) * matrices.reduce(0) { $0 + Double($1.tensor.count) }
    }
}

/// The supervised tokens of a rank, as they enter the output layer.
private struct SupervisedTokens {
    let rows_ND: Tensor
    let targets: [Int32]
    /// Where they are among the tokens of the rank.
    let places: [Int]
    /// The number of tokens of the rank.
    let count: Int

    /// How likely the targets are, for each token of the rank, nil where none is supervised.
    func scores(_ output: Linear) throws -> [TargetScore?] {
        var all = [TargetScore?](repeating: nil, count: count)
        for (place, score) in zip(places, try output.targetScores(rows_ND.detached, targets: targets)) {
            all[place] = score
        }
        return all
    }
}
