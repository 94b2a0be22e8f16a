public import JSONTree

/// `adapter_config.json` of an adapter in the form of Hugging Face's PEFT.
///
/// Source: `LoraConfig` in peft/tuners/lora/config.py, 0.21.
public struct PEFTConfiguration: Sendable, Equatable {
    /// The rank.
    public var rank: Int
    /// What the product is multiplied by, times the rank, or times its root with ``scalesByRoot``.
    public var alpha: Double
    /// The probability with which an input is dropped in training.
    public var dropout: Double
    /// Whether there are magnitudes.
    public var usesDoRA: Bool
    /// Whether the rank's root divides alpha (rsLoRA).
    public var scalesByRoot: Bool
    /// Parts of the model that were trained in full beside the adapter, and are stored with it.
    public var savedModules: [String]
    /// The model that the adapter is for, a folder or a hub id with its revision, `org/name@revision`; nil when it is not said.
    public var baseModel: String?

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

    /// What the product of the two matrices is multiplied by.
    public var scale: Double { alpha / (scalesByRoot ? Double(rank).squareRoot() : Double(rank)) }

    static let fileName = "adapter_config.json"

    /// Settings that change what an adapter computes and are not computed here, with the value that means none.
    private static let refused: [(key: String, none: [JSON])] = [
        ("bias", ["none"]), ("lora_bias", [false]), ("fan_in_fan_out", [false]), ("rank_pattern", [[:]]),
        ("alpha_pattern", [[:]]), ("layer_replication", [[]]), ("use_qalora", [false]),
        ("use_bdlora", [false]), ("target_parameters", [[]]), ("trainable_token_indices", [[]]),
        ("alora_invocation_tokens", [[]]),
    ]

    /// Reads a configuration.
    ///
    /// - Throws: `BridgeError` for another kind of adapter, and for settings that are not computed here.
    public init(json: JSON, name: String) throws {
        func problem(_ what: String) -> BridgeError { BridgeError(.badConfiguration, "\(name): \(what)") }
        guard json["peft_type"]?.string?.uppercased() == "LORA" else {
            let type = json["peft_type"]?.string ?? "missing"
            throw problem("peft_type is \(type); LoRA and DoRA adapters can be used here")
        }
        for (key, none) in Self.refused {
            guard let value = json[key], !value.isNull, !none.contains(value) else { continue }
            let text = String(decoding: value.text(pretty: false).prefix(60), as: UTF8.self)
            throw problem("\(key) is \(text), which is not computed here; merge the adapter with peft instead")
        }
        guard let rank = json["r"]?.integer, (1...1 << 16).contains(rank) else {
            throw problem("r is no whole number from 1 to 65536")
        }
        guard let alpha = json["lora_alpha"]?.double, alpha.isFinite else {
            throw problem("lora_alpha is no number")
        }
        self.rank = rank
        self.alpha = alpha
        dropout = json["lora_dropout"]?.double ?? 0
        guard dropout >= 0, dropout < 1 else { throw problem("lora_dropout is \(dropout), expected 0 to less than 1") }
        usesDoRA = json["use_dora"]?.bool ?? false
        scalesByRoot = json["use_rslora"]?.bool ?? false
        savedModules =
            try json["modules_to_save"]?.nonNull.map { value in
                guard let names = value.array?.map(\.string), !names.contains(nil) else {
                    throw problem("modules_to_save is \(value.kind), expected a list of names")
                }
                return names.compactMap(\.self)
            } ?? []
        let base = json["base_model_name_or_path"]?.string
        baseModel = base.map { base in json["revision"]?.string.map { "\(base)@\($0)" } ?? base }
    }

    /// The same as a recipe's section.
    ///
    /// - Parameter isCanonical: Whether the parts of fused modules have adapters of their own.
    /// - Returns: The section.
    func section(isCanonical: Bool) -> Recipe.PEFTSection {
        var section = Recipe.PEFTSection()
        section.scheme = usesDoRA ? .dora : .lora
        (section.dim, section.alpha, section.dropout) = (rank, scale * Double(rank), dropout)
        section.canonical = isCanonical
        return section
    }

    /// The configuration of a recipe's section.
    init(_ section: Recipe.PEFTSection, baseModel: String?) {
        self.init(
            rank: section.dim,
            alpha: section.alpha,
            dropout: section.dropout,
            usesDoRA: section.scheme == .dora,
            savedModules: section.modulesToSave,
            baseModel: baseModel
        )
    }

    /// The configuration for PEFT.
    ///
    /// - Parameters:
    ///   - modules: The names of the adapted modules, of which PEFT gets the list.
    ///   - taskType: `CAUSAL_LM` for a model of PEFT's own class for it; nil for others.
    /// - Returns: The content of the file.
    public func json(modules: [String], taskType: String?) -> JSON {
        let repository = baseModel.flatMap { HubRepository(meantBy: $0) }
        let revision = repository.flatMap { $0.revision == HubRepository.standardRevision ? nil : $0.revision }
        return [
            "alpha_pattern": [:], "auto_mapping": nil,
            "base_model_name_or_path": (repository?.id ?? baseModel).map { .string($0) } ?? .null, "bias": "none",
            "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "lora_alpha": .number(alpha == alpha.rounded() ? JSONNumber(Int(alpha)) : JSONNumber(alpha)),
            "lora_dropout": .number(JSONNumber(dropout)),
            "modules_to_save": savedModules.isEmpty ? .null : .array(savedModules.map { .string($0) }),
            "peft_type": "LORA",
            "r": .number(JSONNumber(rank)), "rank_pattern": [:],
            "revision": revision.map { .string($0) } ?? .null,
            "target_modules": .array(modules.map { .string($0) }), "task_type": taskType.map { .string($0) } ?? .null,
            "use_dora": .bool(usesDoRA), "use_rslora": .bool(scalesByRoot),
        ]
    }
}
