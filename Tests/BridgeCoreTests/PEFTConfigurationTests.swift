import BridgeCore
import JSONTree
import Testing

/// `adapter_config.json`: https://huggingface.co/docs/peft/package_reference/config has the fields.
@Suite struct PEFTConfigurationTests {
    /// PEFT has a field for the revision and takes ids without one.
    @Test(
        arguments: [
            ("org/name@exp", "org/name", "exp"), ("org/name", "org/name", nil), ("org/name@main", "org/name", nil),
            ("/a directory/of@mine", "/a directory/of@mine", nil), ("toy", "toy", nil),
        ] as [(String, String, String?)]
    )
    func theModelAndItsRevisionAreApart(_ base: String, _ name: String, _ revision: String?) throws {
        let json = PEFTConfiguration(rank: 2, alpha: 4, baseModel: base).json(modules: ["q_proj"], taskType: nil)
        #expect(json["base_model_name_or_path"]?.string == name)
        #expect(json["revision"]?.string == revision)
        let read = try PEFTConfiguration(json: json, name: "adapter_config.json")
        #expect(read.baseModel == (revision.map { "\(name)@\($0)" } ?? name))
    }

    @Test func partsThatAreSavedWholeAreNamed() throws {
        let written = PEFTConfiguration(rank: 2, alpha: 4, savedModules: ["multi_modal_projector"])
        let json = written.json(modules: ["q_proj"], taskType: nil)
        #expect(json["modules_to_save"] == ["multi_modal_projector"])
        #expect(try PEFTConfiguration(json: json, name: "adapter_config.json") == written)
        var wrong = json
        wrong.set("lm_head", at: "modules_to_save")
        #expect(throws: BridgeError.self) { try PEFTConfiguration(json: wrong, name: "adapter_config.json") }
    }

    @Test func everyRefusedSettingNamesItsKeyItsValueAndWhatIsSupported() {
        let base: [(String, JSON)] = [("peft_type", "LORA"), ("r", 2), ("lora_alpha", 4)]
        for (key, value): (String, JSON) in [
            ("lora_bias", true), ("use_qalora", true), ("layer_replication", [[0, 1]]), ("target_parameters", ["a"]),
            ("alora_invocation_tokens", [1]), ("arrow_config", [:]), ("kasa_config", [:]), ("monteclora_config", [:]),
            ("use_bdlora", [:]), ("init_lora_weights", "corda"), ("init_lora_weights", "Pissa"),
        ] {
            let error = #expect(throws: BridgeError.self) {
                _ = try PEFTConfiguration(json: .object(JSONObject(base + [(key, value)])), name: "a")
            }
            let text = ([error?.message ?? ""] + (error?.names ?? [])).joined(separator: " ")
            #expect(text.contains(key) && text.contains("supported"), "\(text)")
        }
    }

    @Test func settingsWithoutAnEffectAreAccepted() throws {
        let json: JSON = [
            "peft_type": "LORA", "r": 2, "lora_alpha": 4, "fan_in_fan_out": true, "bias": "all",
            "eva_config": ["rho": 2],
            "megatron_core": "megatron.core", "lora_bias": false, "target_parameters": nil, "init_lora_weights": "eva",
        ]
        #expect(try PEFTConfiguration(json: json, name: "a").rank == 2)
    }

    @Test(
        arguments: [
            (["q_proj": 3], "[8, null]"), (["q_proj": 2.5], "rank_pattern"), (["[": 3], "rank_pattern"),
        ] as [(JSON, String)]
    )
    func patternsHaveRanks(_ value: JSON, _ word: String) throws {
        let json: JSON = ["peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": value]
        guard word == "rank_pattern" else {
            let read = try PEFTConfiguration(json: json, name: "a")
            return #expect(read.json(modules: [], taskType: nil)["rank_pattern"] == ["q_proj": 3])
        }
        let error = #expect(throws: BridgeError.self) { _ = try PEFTConfiguration(json: json, name: "a") }
        #expect(error?.message.contains(word) ?? false, "\(error?.message ?? "")")
    }
}
