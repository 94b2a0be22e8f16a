import BridgeSupport
import CheckpointFormats
public import JSONTree
import ModelSchema
package import Recipes

/// `adapter_config.json` of an adapter in the form of Hugging Face's PEFT.
///
/// Source: `LoraConfig` in peft/tuners/lora/config.py, 0.21. ``settings`` accounts for every key.
public struct PEFTConfiguration: Sendable {
    /// The rank.
    public var rank: Int
    /// The numerator of the scale: alpha, divided by the rank, or by its root with ``scalesByRoot``.
    public var alpha: Double
    /// The probability with which an input is dropped in training.
    public var dropout: Double
    /// Whether there are magnitudes.
    public var usesDoRA: Bool
    /// Whether the rank's root divides alpha (rsLoRA).
    public var scalesByRoot: Bool
    /// Modules that were trained in full together with the adapter, and are stored with it.
    public var savedModules: [String]
    /// The model that the adapter is for, a directory or a hub id with its revision, `org/name@revision`; nil when it is not named.
    public var baseModel: String?
    /// Ranks of some modules.
    var rankPatterns: [PEFTPattern] = []
    /// Alphas of some modules.
    var alphaPatterns: [PEFTPattern] = []
    /// The base weights before training.
    var start = Start.unchanged
    /// Whether a part of the base weights is computed from them, and subtracted, when the adapter is loaded.
    package var decomposesWeights: Bool { start != .unchanged }
    /// Whether PEFT initialises the matrix B at random, so that a module without its tensors would have a random adapter.
    var startsAtRandom = false
    /// Tokens whose rows of a table were trained, by the table's module; nil for the word embeddings.
    var tokenIndices: [(module: String?, indices: [Int])] = []
    /// Whether a tied output layer follows what was trained of the embedding.
    var tiesWeights = false
    /// Which modules have adapters; nil for a configuration that was not read from a file.
    var targets: PEFTTargets?
    /// Keys that are not known.
    package var unknownKeys: [String] = []

    /// The effect of an initialization on the base weights, which PEFT repeats when it loads the adapter.
    enum Start: Sendable, Equatable {
        /// They stay.
        case unchanged
        /// The principal singular values and vectors are moved to the adapter, computed by this many iterations, or
        /// exactly.
        case pissa(iterations: Int?)
        /// The share of the first columns is subtracted.
        case olora
    }

    /// A configuration.
    public init(
        rank: Int,
        alpha: Double,
        dropout: Double = 0,
        usesDoRA: Bool = false,
        scalesByRoot: Bool = false,
        savedModules: [String] = [],
        baseModel: String? = nil
    ) {
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.usesDoRA = usesDoRA
        self.scalesByRoot = scalesByRoot
        self.savedModules = savedModules
        self.baseModel = baseModel
    }

    /// The scale of the product of the two matrices, if no pattern sets another one for a module.
    public var scale: Double { Self.scale(alpha, rank, byRoot: scalesByRoot) }

    static func scale(_ alpha: Double, _ rank: Int, byRoot: Bool) -> Double {
        alpha / (byRoot ? Double(rank).squareRoot() : Double(rank))
    }

    /// The rank and the scale of a module's adapter.
    ///
    /// - Parameters:
    ///   - module: Its name in the model's memory.
    ///   - others: What older releases of transformers call it; their patterns count where none fits the name.
    /// - Returns: The two.
    /// - Throws: `BridgeError` for a pattern that takes too long.
    package func shape(of module: String, alsoCalled others: Set<String> = []) throws -> AdapterShape {
        func value(_ patterns: [PEFTPattern]) throws -> Double? {
            for name in [module] + others.subtracting([module]).sorted() {
                if let value = try PEFTPattern.value(of: name, in: patterns) { return value }
            }
            return nil
        }
        let rank = try value(rankPatterns).map { Int(saturating: $0) } ?? rank
        let alpha = try value(alphaPatterns) ?? alpha
        return AdapterShape(rank: rank, scale: Self.scale(alpha, rank, byRoot: scalesByRoot))
    }

    /// Reads the configuration in a directory.
    ///
    /// - Throws: As ``init(json:name:)``, and when there is none.
    package init(directory: String) throws {
        let name = Files.join(directory, AdapterFiles.configuration)
        try self.init(json: JSON(contentsOf: name), name: name)
    }

    /// Reads a configuration.
    ///
    /// - Throws: `BridgeError` for another kind of adapter, and for settings that are not supported.
    public init(json: JSON, name: String) throws {
        let reader = JSONReader(json, name: name, code: .badConfiguration)
        guard json["peft_type"]?.string?.uppercased() == "LORA" else {
            let type = json["peft_type"]?.string ?? "missing"
            throw reader.problem("peft_type is \(type), expected LORA (adapters of LoRA and DoRA)")
        }
        try Self.settings.check(json, name: name)
        unknownKeys = Self.settings.unknownKeys(of: json)
        rank = try reader.integer("r", in: Self.ranks)
        alpha = try reader.required("lora_alpha", "a finite number") { $0.double.flatMap { $0.isFinite ? $0 : nil } }
        dropout = json["lora_dropout"]?.double ?? 0
        guard dropout >= 0, dropout < 1 else {
            throw reader.problem("lora_dropout is \(dropout), expected 0 to less than 1")
        }
        usesDoRA = try reader.flag("use_dora")
        scalesByRoot = try reader.flag("use_rslora")
        tiesWeights = try reader.flag("ensure_weight_tying")
        savedModules =
            try reader.optional("modules_to_save", "a list of names") { value in
                value.array.flatMap { names in
                    let texts = names.compactMap(\.string)
                    return texts.count == names.count ? texts : nil
                }
            } ?? []
        let base = json["base_model_name_or_path"]?.string
        baseModel = base.map { base in json["revision"]?.string.map { "\(base)@\($0)" } ?? base }
        rankPatterns = try PEFTPattern.all(json, "rank_pattern", name: name) { value in
            Int(exactly: value).map(Self.ranks.contains) ?? false
        }
        alphaPatterns = try PEFTPattern.all(json, "alpha_pattern", name: name, isValid: \.isFinite)
        start = try Self.start(json["init_lora_weights"], name)
        startsAtRandom = json["init_lora_weights"]?.bool == false
        tokenIndices = try Self.tokens(json["trainable_token_indices"], name)
        targets = try PEFTTargets(json, savedModules: savedModules, name: name)
    }

    static let ranks = 1...1 << 16

    /// The effect of `init_lora_weights` on the base weights when PEFT loads the adapter.
    ///
    /// Source: `update_layer` in peft/tuners/lora/layer.py, 0.21. Of lora_ga, eva and mica the base weights stay as they
    /// are there; corda's need a file that is not part of an adapter.
    private static func start(_ value: JSON?, _ name: String) throws -> Start {
        guard let value = value?.nonNull, value.bool == nil else { return .unchanged }
        if let text = value.string {
            switch text.lowercased() {
            case "gaussian", "mica": return .unchanged
            case "olora": return .olora
            default: break
            }
            if ["orthogonal", "eva", "lora_ga"].contains(text) { return .unchanged }
            if text == "pissa" { return .pissa(iterations: nil) }
            if text.hasPrefix("pissa_niter_"), let count = Int(text.dropFirst("pissa_niter_".count)), count >= 0 {
                return .pissa(iterations: count)
            }
        }
        throw BridgeError(
            .badConfiguration,
            "\(name): init_lora_weights is \(PEFTConfiguration.text(value)), with which PEFT changes the base weights in a way that "
                + "is not supported; supported are true, false, gaussian, orthogonal, eva, lora_ga, mica, pissa, "
                + "pissa_niter_N and olora. Save the adapter with peft's path_initial_model_for_weight_conversion, or merge it with peft"
        )
    }

    private static func tokens(_ value: JSON?, _ name: String) throws -> [(module: String?, indices: [Int])] {
        func indices(_ value: JSON) throws -> [Int] {
            guard let numbers = value.array?.map(\.integer), !numbers.contains(nil) else {
                throw BridgeError(
                    .badConfiguration,
                    "\(name): trainable_token_indices holds \(value.kind), expected a list of token ids"
                )
            }
            return numbers.compactMap(\.self)
        }
        guard let value = value?.nonNull else { return [] }
        guard let object = value.object else { return [(nil, try indices(value))] }
        return try object.map { ($0.key, try indices($0.value)) }
    }

    /// The same as a recipe's section.
    ///
    /// - Parameter isCanonical: Whether the parts of fused modules have adapters of their own.
    /// - Returns: The section.
    package func section(isCanonical: Bool) -> Recipe.PEFTSection {
        var section = Recipe.PEFTSection()
        section.scheme = usesDoRA ? .dora : .lora
        (section.dim, section.alpha, section.dropout) = (rank, alpha, dropout)
        section.usesRSLoRA = scalesByRoot
        section.canonical = isCanonical
        return section
    }
}

/// The rank of an adapter and what its product is multiplied by.
package struct AdapterShape: Hashable {
    var rank: Int
    var scale: Double
}
