import BridgeCore
import JSONTree
import Tokenizers

/// The Ministral 3 family, and Mistral Small 3.1, which has the same classes: text and images.
struct Ministral3Bridge: ModelBridge {
    let name = "ministral3"
    let architectures = ["Mistral3ForConditionalGeneration"]
    let modelTypes = ["mistral3": "Mistral3ForConditionalGeneration"]

    var configuration: ConfigurationTable<Ministral3Provider> { Ministral3Provider.table }

    /// The class rebuilds the whole configuration of transformers.
    let providerClasses = [
        ProviderClass(
            "megatron.bridge.models.ministral3.ministral3_provider.Ministral3ModelProvider",
            architecture: "Mistral3ForConditionalGeneration",
            fields: { configuration, _ in
                let target = "transformers.models.mistral3.configuration_mistral3.Mistral3Config"
                return [("hf_config", ProviderClass.embedded(configuration, as: target))]
            },
            configuration: { ProviderClass.embedded(in: $0["hf_config"]) }
        )
    ]

    /// transformers 4.52 moved the submodules below `model.`; the hub keeps the older names, which the table has.
    let keyMappings = [
        KeyMapping(
            "transformers 4.52 and later, in memory",
            [
                ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
                ("vision_tower.", "model.vision_tower."), ("multi_modal_projector.", "model.multi_modal_projector."),
            ]
        )
    ]

    var moduleNames: KeyMapping { keyMappings[0] }

    var toy: ToyRecipe { Ministral3Toy.recipe }

    let tokenizerClass: TokenizerClass? = .correctedSplit(
        by: "fix_mistral_regex",
        modelTypes: ["mistral", "mistral3", "voxtral", "ministral", "pixtral"]
    )

    var recipes: [RecipeTemplate] { Ministral3Recipes.all }

    var processorSettings: [SettingsTable] { Ministral3Processor.settings }

    func processor(for provider: Ministral3Provider, files: ProcessorFiles) throws -> (any ModelProcessor)? {
        try Ministral3Processor(provider, files: files)
    }

    func parameters(of provider: Ministral3Provider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let names: DecoderParameters.Names =
            style == .consolidated
            ? .consolidated
            : .transformers(model: "language_model.model.", output: "language_model.lm_head.weight")
        let decoder = DecoderParameters(provider.decoder, names: names, prefix: "language_model.")
        return ParameterTable {
            tower(of: provider.vision, style)
            projector(of: provider, style)
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.gatedMLP
            }
            decoder.head
        }
    }

    @ParameterTable.Builder
    private func tower(of vision: PixtralConfiguration, _ style: HuggingFaceDirectory.Style) -> [ParameterMapping] {
        if style == .consolidated {
            for (path, shape) in vision.parameters {
                consolidated(path, shape, headWidth: vision.tower.hiddenSize / vision.tower.numAttentionHeads)
            }
        } else {
            Tower("vision_tower.**", "vision_tower.**", vision.parameters)
        }
    }

    /// A tensor of the tower under Mistral's own names, query and key with neighbouring rotary pairs.
    private func consolidated(_ path: String, _ shape: [Int], headWidth: Int) -> ParameterMapping {
        var name = path
        for (other, own) in [
            ("attention.q_proj", "attention.wq"), ("attention.k_proj", "attention.wk"),
            ("attention.v_proj", "attention.wv"),
            ("attention.o_proj", "attention.wo"), ("feed_forward.gate_proj", "feed_forward.w1"),
            ("feed_forward.down_proj", "feed_forward.w2"), ("feed_forward.up_proj", "feed_forward.w3"),
        ] where path.contains(other) {
            name = path.replacing(other, with: own)
        }
        var mapping = Rename("vision_tower.\(path)", "vision_encoder.\(name)", shape)
        if path.contains(".q_proj") || path.contains(".k_proj") {
            mapping.transform = WithRotaryPairs(Identity(), rotated: [0], headWidth: headWidth)
        }
        return mapping
    }

    @ParameterTable.Builder
    private func projector(of provider: Ministral3Provider, _ style: HuggingFaceDirectory.Style) -> [ParameterMapping] {
        let isConsolidated = style == .consolidated
        let (vision, text) = (provider.vision.tower.hiddenSize, provider.decoder.hiddenSize)
        let merged = vision * provider.spatialMergeSize * provider.spatialMergeSize
        let own = "multi_modal_projector."
        let merger = "patch_merger.merging_layer.weight"
        let first = isConsolidated ? "vision_language_adapter.w_in" : "\(own)linear_1"
        let second = isConsolidated ? "vision_language_adapter.w_out" : "\(own)linear_2"
        Rename(
            "multi_modal_projector.norm.weight",
            isConsolidated ? "pre_mm_projector_norm.weight" : "\(own)norm.weight",
            [vision]
        )
        Rename(
            "multi_modal_projector.patch_merger.merging_layer.weight",
            isConsolidated ? "\(merger)" : "\(own)\(merger)",
            [vision, merged]
        )
        Rename(
            "multi_modal_projector.linear_1.weight",
            "\(first).weight",
            [text, vision * provider.visionFeatureLayer.values.count]
        )
        Rename("multi_modal_projector.linear_2.weight", "\(second).weight", [text, text])
        if provider.projectorHasBias {
            Rename("multi_modal_projector.linear_1.bias", "\(first).bias", [text])
            Rename("multi_modal_projector.linear_2.bias", "\(second).bias", [text])
        }
    }
}

// MARK: - params.json

extension Ministral3Bridge {
    var parameterSettings: SettingsTable? { Self.parameterSettings }

    private static let parameterSettings = ConsolidatedParameters.settings(
        SettingsTable.honoured(
            "yarn.original_max_position_embeddings",
            "yarn.factor",
            "yarn.beta",
            "yarn.alpha",
            "llama_4_scaling.beta",
            "llama_4_scaling.original_max_position_embeddings"
        ) + [
            SettingsTable.only(
                "yarn.apply_scale",
                [nil, false],
                "the attention factor is 1, as transformers reads these files"
            )
        ]
            + SettingsTable.honoured(
                "vision_encoder.image_token_id",
                "vision_encoder.adapter_bias",
                "vision_encoder.spatial_merge_size",
                "vision_encoder.rope_theta",
                "vision_encoder.hidden_size",
                "vision_encoder.intermediate_size",
                "vision_encoder.num_hidden_layers",
                "vision_encoder.num_attention_heads",
                "vision_encoder.num_channels",
                "vision_encoder.image_size",
                "vision_encoder.patch_size"
            )
            + SettingsTable.noEffect(
                "vision_encoder.mm_projector_id",
                "vision_encoder.add_pre_mm_projector_layer_norm",
                because: "the tensors of both parts are needed; without them the load fails"
            )
            + SettingsTable.noEffect(
                "vision_encoder.image_break_token_id",
                "vision_encoder.image_end_token_id",
                because: "the ids of the tokenizer are used"
            )
            + SettingsTable.noEffect(
                "vision_encoder.max_image_size",
                because: "image_size bounds the side of an image"
            )
    )

    func translated(parameters: JSON, name: String) throws -> JSON? {
        guard let vision = parameters["vision_encoder"], !vision.isNull else { return nil }
        try parameterSettings?.check(parameters, name: name)
        // Both are the defaults of transformers' conversion for these files.
        var text = try ConsolidatedParameters.decoder(parameters, ropeTheta: 1_000_000, seqLength: 262_144, name: name)
        let yarn = parameters["yarn"]?.nonNull
        if yarn == nil, parameters["llama_4_scaling"]?.nonNull != nil {
            throw BridgeError(
                .badConfiguration,
                "\(name) has llama_4_scaling without yarn; supported: both, as Ministral 3 has them, or neither"
            )
        }
        text["model_type"] = yarn == nil ? "mistral" : "ministral3"
        if let yarn {
            var rope: JSON = [
                "type": "yarn", "rope_type": "yarn", "rope_theta": text["rope_theta"] ?? .null, "mscale": 1.0,
                "mscale_all_dim": 1.0,
            ]
            let keys = [
                ("original_max_position_embeddings", "original_max_position_embeddings"), ("factor", "factor"),
                ("beta", "beta_fast"),
                ("alpha", "beta_slow"),
            ]
            for (key, other) in keys {
                guard let value = yarn[key] else {
                    throw BridgeError(.badConfiguration, "\(name) has yarn without \(key)")
                }
                rope.set(value, at: other)
            }
            if let beta = parameters[path: "llama_4_scaling.beta"]?.nonNull {
                rope.set(beta, at: "llama_4_scaling_beta")
            }
            let original = parameters[path: "llama_4_scaling.original_max_position_embeddings"]?.nonNull
            if let original, original.double != yarn["original_max_position_embeddings"]?.double {
                throw BridgeError(
                    .badConfiguration,
                    "\(name): llama_4_scaling.original_max_position_embeddings is not that of yarn; "
                        + "supported: the value of yarn.original_max_position_embeddings"
                )
            }
            text["rope_theta"] = nil
            text["rope_parameters"] = rope
        }
        var configuration: JSON = [
            "architectures": ["Mistral3ForConditionalGeneration"],
            "model_type": "mistral3",
            "image_token_index": vision["image_token_id"] ?? 10,
            "multimodal_projector_bias": vision["adapter_bias"] ?? false,
            "projector_hidden_act": "gelu",
            "spatial_merge_size": vision["spatial_merge_size"] ?? 2,
            "text_config": .object(text),
            "vision_config": [
                "model_type": "pixtral", "hidden_act": "silu",
                "rope_parameters": ["rope_theta": vision["rope_theta"] ?? 10000.0],
            ],
            "vision_feature_layer": -1,
        ]
        for key in [
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels",
            "image_size", "patch_size",
        ] {
            guard let value = vision[key] else {
                throw BridgeError(.badConfiguration, "\(name) has a vision_encoder without \(key)")
            }
            configuration.set(value, at: "vision_config.\(key)")
        }
        if parameters["quantization"] != nil { configuration.set(["quant_method": "fp8"], at: "quantization_config") }
        return configuration
    }

    func parameters(configuration: JSON, base: JSON) -> JSON {
        ConsolidatedParameters.revised(base, for: configuration)
    }
}
