import JSONTree

/// The keys of `quantization_config` in `config.json`.
///
/// Sources: `FineGrainedFP8Config`, `FbgemmFp8Config` and `CompressedTensorsConfig`, `quantization_config.py`, transformers 5.23;
/// the files that ModelOpt writes.
package enum QuantizationSettings {
    /// Where a configuration may have the object.
    package static let paths = ["quantization_config", "text_config.quantization_config", "compression_config"]

    /// The methods whose 8-bit floating-point weights are read, with the scales beside them.
    package static let methods = ["fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"]

    /// The keys below each of the paths.
    ///
    /// - Parameter parts: The prefixes of the parts of a composite configuration, such as `text_config.`.
    /// - Returns: The keys with their verdicts.
    package static func settings(for parts: [String]) -> [Setting] {
        let own = paths.filter { path in !path.contains(".") || parts.contains { path.hasPrefix($0) } }
        return own.flatMap { path in verdicts.map { Setting("\(path).\($0.key)", $0.verdict) } }
    }

    @SettingsTable.Builder private static var verdicts: [Setting] {
        SettingsTable.honoured("quant_method", "weight_block_size", "config_groups")
        SettingsTable.noEffect(
            "modules_to_not_convert",
            "ignored_layers",
            "ignore",
            "exclude_modules",
            "format",
            "fmt",
            "scale_fmt",
            "quant_algo",
            "sparsity_config",
            because: "the names and types of the stored tensors specify what is quantized, and how"
        )
        SettingsTable.noEffect(
            "activation_scheme",
            "activation_scale_ub",
            "kv_cache_scheme",
            because: "activations are not quantized here"
        )
        SettingsTable.noEffect(
            "dequantize",
            "run_compressed",
            because: "quantized weights are always dequantized when they are read"
        )
        SettingsTable.noEffect(
            "quantization_status",
            "global_compression_ratio",
            "version",
            "producer",
            because: "written for information"
        )
        SettingsTable.only("transform_config", [nil, .object(JSONObject())], "rotated weights are not rotated back")
    }
}
