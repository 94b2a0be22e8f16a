import BridgeCore
import TensorRuntime

/// The learning rates of the parts of a model, as multiples of that of the run, whose schedule they share.
struct LearningRateFactors {
    private var factors: [ObjectIdentifier: Double] = [:]

    /// One rate for all parameters.
    init() {}

    /// The rates of a recipe.
    ///
    /// - Parameters:
    ///   - recipe: The recipe.
    ///   - model: The model.
    ///   - adapters: Its adapters; nil for full training.
    init(_ recipe: Recipe, _ model: any CausalModel, _ adapters: AdapterSet?) {
        let section = recipe.optimizer
        let rates = [
            (["vision_tower"], section.visionModelLR), (["multi_modal_projector"], section.visionProjectionLR),
            (["word_embeddings", "output_layer"], section.embeddingLR),
        ]
        for (parts, rate) in rates {
            guard let rate else { continue }
            for parameter in model.parameters(ofParts: parts) {
                factors[ObjectIdentifier(parameter)] = rate / section.lr
            }
        }
        for parameter in adapters?.parameters ?? [] {
            let ratio = Self.isB(parameter) ? recipe.peft.loraPlusLRRatio ?? 1 : 1
            factors[ObjectIdentifier(parameter)] = (section.adapterLR ?? section.lr) / section.lr * ratio
        }
    }

    /// The factor of a parameter.
    func factor(of parameter: Parameter) -> Double { factors[ObjectIdentifier(parameter)] ?? 1 }

    /// Whether LoRA+ counts a parameter of an adapter among those of B: the matrices B and all vectors.
    ///
    /// Source: `create_loraplus_optimizer` in optimizers/loraplus.py, peft 0.21.
    private static func isB(_ parameter: Parameter) -> Bool {
        parameter.name.hasSuffix(".linear_out.weight") || parameter.tensor.rank == 1
    }
}
