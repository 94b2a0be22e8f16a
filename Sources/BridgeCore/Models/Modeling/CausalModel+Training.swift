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
        return try withTokens(numbers, of: count) {
            try decoder.output.crossEntropy(
                rows_ND,
                targets: places.map { targets[$0] },
                weights: [Float](repeating: weight, count: places.count)
            )
        }
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
