import BridgeCore
import TensorRuntime

/// The learning rates of the parts of a model, as multiples of that of the run, whose schedule they share.
struct LearningRateFactors {
    private var factors: [ObjectIdentifier: Double] = [:]
    /// The trained parts with a rate of their own: their names in logs, the rates, and these as multiples of the run's.
    private(set) var parts: [(name: String, rate: Double, factor: Double)] = []

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
            ("vision_model", ["vision_tower"], section.visionModelLR),
            ("vision_projection", ["multi_modal_projector"], section.visionProjectionLR),
            ("embedding", ["word_embeddings", "output_layer"], section.embeddingLR),
        ]
        for (name, names, rate) in rates {
            guard let rate else { continue }
            let parameters = model.parameters(ofParts: names)
            for parameter in parameters { factors[ObjectIdentifier(parameter)] = rate / section.lr }
            if parameters.contains(where: \.isTrainable) { parts.append((name, rate, rate / section.lr)) }
        }
        guard let adapters else { return }
        let rate = section.adapterLR ?? section.lr
        let ratio = recipe.peft.loraPlusLRRatio ?? 1
        for parameter in adapters.parameters {
            factors[ObjectIdentifier(parameter)] = rate / section.lr * (Self.isB(parameter) ? ratio : 1)
        }
        if section.adapterLR != nil { parts.append(("adapter", rate, rate / section.lr)) }
        if recipe.peft.loraPlusLRRatio != nil {
            parts.append(("adapter_b", rate * ratio, rate / section.lr * ratio))
        }
    }

    /// Whether a parameter is trained at the rate of the run.
    func usesRunRate(_ parameters: [Parameter]) -> Bool {
        parameters.contains { $0.isTrainable && factor(of: $0) == 1 }
    }

    /// The part whose rate logs show: the first one where no parameter is trained at the rate of the run; nil for that rate.
    func loggedPart(usesRunRate: Bool) -> (name: String, rate: Double, factor: Double)? {
        usesRunRate ? nil : parts.first
    }

    /// The factor of a parameter.
    func factor(of parameter: Parameter) -> Double { factors[ObjectIdentifier(parameter)] ?? 1 }

    /// Whether LoRA+ counts a parameter of an adapter among those of B: the matrices B and all vectors.
    ///
    /// Source: `create_loraplus_optimizer` in optimizers/loraplus.py, peft 0.21.
    private static func isB(_ parameter: Parameter) -> Bool {
        // Layers that share an adapter have a part of its B each, whose name ends with the number of the part.
        parameter.name.contains(".linear_out.weight") || parameter.tensor.rank == 1
    }
}
