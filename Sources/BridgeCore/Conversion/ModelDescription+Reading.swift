import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
import ModelSchema
import TensorRuntime
import TorchFiles

extension ModelDescription {
    /// The model of a checkpoint that Megatron Bridge or Megatron-LM wrote.
    ///
    /// Megatron Bridge describes it in `run_config.yaml`, Megatron-LM by the arguments of the run in the common state.
    ///
    /// - Parameters:
    ///   - directory: The checkpoint.
    ///   - catalog: The supported families.
    /// - Returns: The model; nil for a checkpoint that does not describe it.
    /// - Throws: `BridgeError` for a model that no plugin supports, and for settings that change what it computes.
    package static func read(_ directory: TorchDistDirectory, catalog: PluginCatalog) throws -> ModelDescription? {
        let path = Files.join(directory.path, TorchDistDirectory.runConfigurationName)
        if Files.exists(path) {
            guard let model = try RunConfiguration.section("model", of: path) else {
                throw BridgeError(.corruptInput, "\(path) has no section model; give the model with --hf-model")
            }
            var found = try description(model, name: path, writer: "Megatron Bridge", catalog: catalog)
            let own = model["_target_"]?.string.flatMap { catalog.providerClass($0) }?.providerClass
            let fields = own?.fields(.object(JSONObject()), JSONObject()) ?? []
            found.unreadKeys = ProviderFields(model: model, name: path).unknownKeys(own: Set(fields.map(\.name)))
            return found
        }
        guard let arguments = try directory.commonState()?["args"], let model = model(ofArguments: arguments) else {
            return nil
        }
        let name = "the arguments in \(Files.join(directory.path, TorchDistDirectory.commonName))"
        return try description(model, name: name, writer: "Megatron-LM", catalog: catalog)
    }

    private static func description(
        _ model: JSON,
        name: String,
        writer: String,
        catalog: PluginCatalog
    ) throws -> ModelDescription {
        guard let target = model["_target_"]?.string else {
            throw BridgeError(.corruptInput, "\(name) names no class of the model; give the model with --hf-model")
        }
        guard let (bridge, providerClass) = catalog.providerClass(target) else {
            throw BridgeError(
                .unsupportedArchitecture,
                "\(name) has a model of the class \(target), which no plugin knows; give the directory of the Hugging Face "
                    + "model with --hf-model if it is one of theirs"
            )
        }
        var configuration: JSON
        if let embedded = providerClass.configuration(model) {
            configuration = embedded
        } else {
            let fields = ProviderFields(model: model, name: name)
            try fields.check()
            configuration = bridge.configuration(of: fields)
        }
        configuration.set(.array([.string(providerClass.architecture)]), at: "architectures")
        if configuration["model_type"] == nil {
            let type = bridge.modelTypes.first { $0.value == providerClass.architecture }?.key
            configuration.set(type.map { .string($0) }, at: "model_type")
        }
        func size(_ field: String) -> Int {
            model[field]?.integer.flatMap { (1...mostRanks).contains($0) ? $0 : nil } ?? 1
        }
        return ModelDescription(
            architecture: providerClass.architecture,
            family: bridge.name,
            configuration: configuration,
            layout: RankLayout(
                tensorSize: size("tensor_model_parallel_size"),
                pipelineSize: size("pipeline_model_parallel_size")
            ),
            writer: writer
        )
    }

    private static let mostRanks = 1 << 12

    /// The arguments of Megatron-LM, an `argparse.Namespace` that is kept as data, as the fields of a provider.
    private static func model(ofArguments arguments: PickleGraph.Reference) -> JSON? {
        guard arguments.callable == PickleGlobal("argparse", "Namespace"), let state = arguments.state?.pairs else {
            return nil
        }
        var found = JSONObject()
        for (key, value) in state {
            guard let key = key.text, let value = value.json else { continue }
            found[key] = value
        }
        var model = found
        model["_target_"] = "megatron.core.models.gpt.gpt_model.GPTModel"
        for (argument, field) in renamed { if let value = found[argument] { model[field] = value } }
        model["gated_linear_unit"] = found["swiglu"]
        model["activation_func"] = found["swiglu"]?.bool == true ? "silu" : nil
        model["share_embeddings_and_output_weights"] = found["untie_embeddings_and_output_weights"]?.bool.map {
            .bool(!$0)
        }
        if found["group_query_attention"]?.bool == false { model["num_query_groups"] = found["num_attention_heads"] }
        // Without a tokenizer's own size only the padded one is known.
        if model["vocab_size"]?.nonNull == nil { model["vocab_size"] = found["padded_vocab_size"] }
        if found["use_rotary_position_embeddings"]?.bool == true { model["position_embedding_type"] = "rope" }
        return .object(model)
    }

    /// Arguments of Megatron-LM whose fields have other names.
    private static let renamed = [
        ("norm_epsilon", "layernorm_epsilon"), ("max_position_embeddings", "seq_length"),
        ("apply_layernorm_1p", "layernorm_zero_centered_gamma"), ("use_rope_scaling", "rope_scaling"),
    ]
}

extension ModelBridge {
    /// The `config.json` of a provider's fields.
    fileprivate func configuration(of fields: ProviderFields) -> JSON {
        configuration.configuration(fromMegatron: fields.value)
    }
}

extension PickleGraph.Reference {
    /// A value without parts, or a list of some, as JSON; torch's types under their names; nil for other objects.
    fileprivate var json: JSON? {
        switch value {
        case .none: return .null
        case .bool(let bool): return .bool(bool)
        case .integer(let number): return JSON(number)
        case .real(let number): return number.isFinite ? JSON(number) : nil
        case .text(let text): return .string(text)
        case .node:
            if let global, global.module == "torch" { return .string("\(global)") }
            guard let items, items.count <= 1024, items.allSatisfy({ $0.node == nil }) else { return nil }
            return .array(items.compactMap(\.json))
        default: return nil
        }
    }
}
