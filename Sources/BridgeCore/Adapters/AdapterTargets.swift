import BridgeSupport
import Communication
import ModelSchema
import Models
import Recipes
import TensorRuntime

/// Which layers of a model get adapters, by the names in a recipe.
///
/// A name is the last part of a module's full name, or all of it, or a pattern of all of it with `*` and `?`; the parts
/// of a fused module have their own names, such as `linear_q`.
struct AdapterTargets {
    private let configuration: Recipe.PEFTSection
    /// The stages of the pipeline, each with some of the modules.
    private let stages: any ProcessGroup

    /// Checks every name of a configuration.
    ///
    /// - Throws: `BridgeError` with the names that are those of no module, and the modules that there are.
    init(_ configuration: Recipe.PEFTSection, in model: any CausalModel) throws {
        self.configuration = configuration
        stages = model.decoder.parallelism.groups.pp
        let language = AdaptedModule.all(in: model.decoder.parameters)
        let tower = AdaptedModule.all(in: model.vision?.towerParameters ?? [])
        if !configuration.visionLora,
            let name = configuration.targetModules.first(where: { isOne($0, of: tower) && !isOne($0, of: language) })
        {
            throw BridgeError(
                .badConfiguration,
                "peft.target_modules names \(name), which is the vision tower's; --vision-lora (peft.vision_lora=true) "
                    + "gives all modules of the tower adapters"
            )
        }
        try check(configuration.targetModules, "peft.target_modules", language + tower, listed: language)
        try check(configuration.excludeModules, "peft.exclude_modules", language + tower, listed: language + tower)
    }

    /// Which layers of a module get an adapter.
    ///
    /// - Parameters:
    ///   - module: The module.
    ///   - isTower: Whether it is the vision tower's, whose modules are targets all together.
    /// - Returns: For each of its layers whether it does.
    func layers(of module: AdaptedModule, isTower: Bool) -> [Bool] {
        guard isSelected(module, isTower: isTower) else { return module.layers.map { _ in false } }
        return module.layers.indices.map { index in
            let names = Self.names(of: module, layer: index)
            if Self.isNamed(names, configuration.excludeModules) { return false }
            return isTower || Self.isNamed(names, configuration.targetModules)
        }
    }

    /// Whether the recipe gives adapters to this part of the model and to this kind of module.
    private func isSelected(_ module: AdaptedModule, isTower: Bool) -> Bool {
        if Self.attention.contains(module.kind), !configuration.finetuneAttentionModules { return false }
        if Self.mlp.contains(module.kind), !configuration.finetuneMLPModules { return false }
        return isTower || configuration.finetuneLanguageLayers
    }

    /// Modules of the decoder and, under their names there, of vision towers.
    private static let attention: Set<String> = [
        "linear_qkv", "linear_proj", "q_proj", "k_proj", "v_proj", "o_proj", "out_proj",
    ]
    private static let mlp: Set<String> = [
        "linear_fc1", "linear_fc2", "fc1", "fc2", "gate_proj", "up_proj", "down_proj",
    ]

    /// The names of a layer: its module's last name and its full one, and its own names.
    private static func names(of module: AdaptedModule, layer: Int) -> [String] {
        var names = [module.kind, module.name]
        if let parts = AdaptedModule.parts[module.kind], parts.indices.contains(layer), module.layers.count > 1 {
            names += [parts[layer], module.name.dropLast(module.kind.count) + parts[layer]]
        }
        return names
    }

    private static func isNamed(_ names: [String], _ patterns: [String]) -> Bool {
        patterns.contains { pattern in
            names.contains { $0 == pattern || (pattern.contains("*") && NameGlob(pattern).matches($0)) }
        }
    }

    private func isOne(_ pattern: String, of modules: [AdaptedModule]) -> Bool {
        modules.contains { module in
            module.layers.indices.contains { Self.isNamed(Self.names(of: module, layer: $0), [pattern]) }
        }
    }

    private func check(
        _ patterns: [String],
        _ key: String,
        _ modules: [AdaptedModule],
        listed: [AdaptedModule]
    ) throws {
        // A module may be that of another stage of a pipeline.
        let counts = try stages.allReduceSum(patterns.map { isOne($0, of: modules) ? 1 : 0 })
        let wrong = zip(patterns, counts).filter { $0.1 == 0 }.map(\.0)
        guard !wrong.isEmpty else { return }
        let words = wrong.map { name in ownName(of: name).map { "\(name) (use \($0))" } ?? name }
        throw BridgeError(
            .badConfiguration,
            "\(key) names modules that this model does not have: \(words.joined(separator: "; ")); it has "
                + "\(kinds(listed).joined(separator: ", ")), and takes patterns of full names such as "
                + "*.layers.0.*.linear_qkv"
        )
    }

    /// The last names of modules, and of their parts where those can have adapters of their own.
    private func kinds(_ modules: [AdaptedModule]) -> [String] {
        var kinds = Set(modules.map(\.kind))
        if configuration.canonical {
            for module in modules where module.layers.count > 1 {
                kinds.formUnion(AdaptedModule.parts[module.kind] ?? [])
            }
        }
        return kinds.sorted()
    }

    /// Megatron-Core's name of a module that PEFT knows under another one.
    private func ownName(of name: String) -> String? {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        switch last {
        case "q_proj", "k_proj", "v_proj": return configuration.canonical ? "linear_\(last.prefix(1))" : "linear_qkv"
        case "gate_proj", "up_proj":
            return configuration.canonical ? "linear_fc1_\(last.dropLast("_proj".count))" : "linear_fc1"
        case "down_proj": return "linear_fc2"
        case "o_proj": return "linear_proj"
        default: return nil
        }
    }
}
