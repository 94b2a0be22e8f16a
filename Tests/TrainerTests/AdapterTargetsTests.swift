import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// Which modules the names of a recipe give adapters.
@Suite struct AdapterTargetsTests {
    private func adapted(_ settings: String..., model name: String = "mistral") throws -> Set<String> {
        var recipe = Recipe(name: "a")
        try recipe.apply(["peft.scheme=lora", "peft.dim=2"] + settings)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(on: RunTests.engine)
        let adapters = try AdapterSet(
            recipe.peft,
            on: model,
            freezesLanguageModel: recipe.model.freezeLanguageModel,
            seed: 1
        )
        return Set(adapters.parameters.map(\.name).filter { $0.hasSuffix("linear_in.weight") })
    }

    @Test func namesAndPatternsChooseModules() throws {
        let attention = "decoder.layers.0.self_attention"
        let first = ["\(attention).linear_qkv.adapter.linear_in.weight"]
        #expect(try adapted("peft.target_modules=[*.layers.0.*.linear_qkv]") == Set(first))
        #expect(try adapted("peft.target_modules=[\(attention).linear_qkv]") == Set(first))
        let all = try adapted("peft.target_modules=[linear_qkv]")
        #expect(all.count > 1 && all.isSuperset(of: first))
        let others = try adapted("peft.target_modules=[linear_qkv]", "peft.exclude_modules=[*.layers.0.*]")
        #expect(others == all.subtracting(first))
        let canonical = try adapted("peft.target_modules=[*.layers.0.*.linear_q]", "peft.canonical=true")
        #expect(canonical == ["\(attention).linear_qkv.adapter.adapter_q.linear_in.weight"])
    }

    @Test func partsOfTheModelAndKindsOfModulesAreChosen() throws {
        let all = try adapted("peft.vision_lora=true", model: "gemma3")
        let tower = all.filter { $0.hasPrefix("vision") }
        let attention = all.filter { $0.contains("attn") || $0.contains("attention") }
        #expect(!tower.isEmpty && tower.count < all.count && !attention.isEmpty && attention.count < all.count)
        #expect(
            try adapted("peft.finetune_vision_layers=true", "peft.finetune_language_layers=false", model: "gemma3")
                == tower
        )
        let without = try adapted("peft.vision_lora=true", "peft.finetune_mlp_modules=false", model: "gemma3")
        #expect(without == attention)
        let mlp = try adapted("peft.vision_lora=true", "peft.finetune_attention_modules=false", model: "gemma3")
        #expect(mlp == all.subtracting(attention))
    }

    @Test(arguments: [
        (["[q_proj]"], ["q_proj (use linear_qkv)", "linear_fc1, linear_fc2, linear_proj, linear_qkv,"]),
        (
            ["[q_proj]", "peft.canonical=true"],
            [
                "q_proj (use linear_q)",
                "linear_fc1, linear_fc1_gate, linear_fc1_up, linear_fc2, linear_k, linear_proj, linear_q, linear_qkv, linear_v",
            ]
        ),
        (["[gate_proj]"], ["gate_proj (use linear_fc1)"]),
        (["[up_proj]", "peft.canonical=true"], ["up_proj (use linear_fc1_up)"]),
        (["[model.layers.0.mlp.down_proj]"], ["down_proj (use linear_fc2)"]),
        (["[o_proj]"], ["o_proj (use linear_proj)"]),
        (
            ["[linear_qkv, linear_kqv, *.nowhere]"],
            ["peft.target_modules", "does not have: linear_kqv; *.nowhere; it has"]
        ),
        (
            ["[linear_qkv]", "peft.exclude_modules=[linear_pro]"],
            ["peft.exclude_modules", "linear_pro;", "linear_proj"]
        ),
        (["[linear_qkv]", "peft.exclude_modules=[*linear_qkv]"], ["exclude every module"]),
        (["[linear_q]"], ["peft.canonical=true"]),
        (["[linear_qkv]", "model.freeze_language_model=true"], ["the language model is frozen", "--vision-lora"]),
    ])
    func aNameWithoutAModuleIsAnError(_ settings: [String], _ words: [String]) throws {
        let error = #expect(throws: BridgeError.self) {
            _ = try adapted("peft.target_modules=\(settings[0])", settings.count > 1 ? settings[1] : "name=a")
        }
        for word in words { #expect(error?.message.contains(word) ?? false, "\(error?.message ?? "")") }
    }

    @Test func theTowersModulesAreTargetsAllTogether() throws {
        let language = try adapted(model: "gemma3")
        let both = try adapted("peft.vision_lora=true", model: "gemma3")
        let tower = try adapted("peft.vision_lora=true", "model.freeze_language_model=true", model: "gemma3")
        #expect(!tower.isEmpty && both == language.union(tower))
        let full = try #require(tower.min()?.split(separator: ".").dropLast(3).joined(separator: "."))
        let error = #expect(throws: BridgeError.self) {
            _ = try adapted("peft.target_modules=[linear_qkv, \(full)]", model: "gemma3")
        }
        #expect(error?.message.contains("the vision tower's; --vision-lora") ?? false, "\(error?.message ?? "")")
        let fewer = try adapted("peft.vision_lora=true", "peft.exclude_modules=[\(full)]", model: "gemma3")
        #expect(fewer.count == both.count - 1)
    }
}
