import BridgeSupport
package import JSONTree
import ModelSchema
package import TensorFiles
import TensorRuntime

/// The names and shapes of the scale factors in 8-bit checkpoints.
package enum Quantisation {
    /// The rows and columns that one factor belongs to in block-wise checkpoints that name no `weight_block_size`.
    static let defaultBlock = (rows: 128, columns: 128)

    /// The names under which the factors of a weight may be stored: transformers', then Mistral's own.
    static func scaleNames(of weight: String) -> [String] {
        let base = weight.hasSuffix(".weight") ? String(weight.dropLast(7)) : weight
        return ["\(base).weight_scale_inv", "\(base).qscale_weight", "\(base).weight_scale"]
    }

    /// Whether a tensor holds the scale of quantised activations.
    static func isActivationScale(_ name: String) -> Bool {
        [".activation_scale", ".qscale_act", ".input_scale"].contains { name.hasSuffix($0) }
    }

    /// The rows and columns that one factor belongs to, where a configuration has them: `weight_block_size` of
    /// `quantization_config`, as transformers writes it, or `block_structure`, as compressed-tensors does.
    ///
    /// - Parameter configuration: The model's configuration.
    /// - Returns: The size; nil where there is none.
    /// - Throws: `BridgeError` for a size that is not two positive integers.
    static func blockSize(in configuration: JSON) throws -> (rows: Int, columns: Int)? {
        for path in QuantizationSettings.paths {
            guard let settings = configuration[path: path] else { continue }
            let groups = settings["config_groups"]?.object.map { $0.map(\.value) } ?? []
            let structures = groups.compactMap { $0["weights"]?["block_structure"]?.nonNull }
            for (key, value) in [("weight_block_size", settings["weight_block_size"]?.nonNull)]
                + structures.map({ ("block_structure", $0) })
            {
                guard let value else { continue }
                guard let sides = [Int](json: value), sides.count == 2, sides.allSatisfy({ $0 > 0 }) else {
                    throw BridgeError(
                        .badConfiguration,
                        "\(key) of \(path) is \(String(decoding: value.text(pretty: false).prefix(80), as: UTF8.self)); supported "
                            + "are two positive numbers, rows and columns"
                    )
                }
                return (sides[0], sides[1])
            }
        }
        return nil
    }

    /// The rectangle of a weight for each factor: all of it, one row, or a block.
    ///
    /// - Parameters:
    ///   - weight: The weight.
    ///   - factors: Its factors.
    ///   - size: The size of a block that the configuration names; nil for the default.
    /// - Returns: Rows and columns.
    /// - Throws: `BridgeError` for factors that fit none of them.
    static func block(
        of weight: StoredTensor,
        factors: StoredTensor,
        size: (rows: Int, columns: Int)?
    ) throws -> (rows: Int, columns: Int) {
        let (height, width) = (max(weight.height, 1), max(weight.width, 1))
        let count = factors.shape.reduce(1, *)
        let block = size ?? defaultBlock
        let blocks = [(height - 1) / block.rows + 1, (width - 1) / block.columns + 1]
        guard factors.elementType.isFloatingPoint else {
            throw BridgeError(
                .corruptInput,
                "\(factors.name) holds \(factors.elementType.rawValue), expected floating-point factors"
            )
        }
        if count == 1 { return (height, width) }
        if size != nil, factors.shape == blocks { return block }
        if factors.shape == [height] || factors.shape == [height, 1] { return (1, width) }
        if factors.shape == blocks { return block }
        let source =
            size == nil ? "no weight_block_size in the configuration" : "weight_block_size of the configuration"
        throw BridgeError(
            .corruptInput,
            "\(factors.name) has the shape \(factors.shape), which fits no block of \(block.rows) x \(block.columns) (\(source)); "
                + "expected one factor, \([height, 1]) for rows or \(blocks) for blocks. Set weight_block_size of "
                + "quantization_config in config.json to the size that the weights were quantised with"
        )
    }

    /// Refuses a configuration whose method would give the weights another meaning than they have here.
    ///
    /// transformers raises for such a checkpoint, or initializes the weights that the method expects at random.
    ///
    /// - Parameters:
    ///   - configuration: The model's configuration.
    ///   - source: The checkpoint, for messages.
    /// - Throws: `BridgeError` with the method and those that are supported.
    package static func checkMethod(in configuration: JSON, source: String) throws {
        for path in QuantizationSettings.paths {
            guard let method = configuration[path: path]?["quant_method"]?.nonNull,
                !QuantizationSettings.methods.contains(method.string ?? "")
            else { continue }
            throw BridgeError(
                .badConfiguration,
                "\(source): quant_method of \(path) is \(Setting.text(method)), but no weight is stored so; supported: "
                    + "\(QuantizationSettings.methods.joined(separator: ", ")) with 8-bit floating-point weights. If the weights "
                    + "are those of the model, not quantized, remove \(path) from the configuration"
            )
        }
    }

    /// Where a configuration describes weights as quantized that are not: no tensor has 8 bits or belongs to a scale.
    ///
    /// Weights that were dequantized often keep their `quantization_config`.
    ///
    /// - Parameters:
    ///   - configuration: The model's configuration.
    ///   - tensors: The tensors.
    /// - Returns: The path of the setting; nil for a configuration that describes the weights as they are.
    package static func unusedSetting(of configuration: JSON, _ tensors: [String: StoredTensor]) -> String? {
        guard let path = QuantizationSettings.paths.first(where: { configuration[path: $0]?.nonNull != nil }) else {
            return nil
        }
        let isPlain = tensors.values.allSatisfy { tensor in
            tensor.elementType.isFloatingPoint && tensor.elementType.byteCount > 1
                && scaleNames(of: tensor.name).allSatisfy { tensors[$0] == nil } && !isActivationScale(tensor.name)
        }
        return isPlain && marks(in: tensors.keys) == nil ? path : nil
    }

    /// A description of the storage format of weights that is not supported; nil without a sign of quantisation.
    ///
    /// A configuration alone is not enough: dequantised weights often keep their `quantization_config`.
    ///
    /// - Parameters:
    ///   - configuration: The model's configuration.
    ///   - tensors: The tensors.
    /// - Returns: The scheme as its makers call it, such as `bitsandbytes (4 bits, nf4)`.
    package static func unsupportedScheme(of configuration: JSON, _ tensors: [String: StoredTensor]) -> String? {
        let mark = marks(in: tensors.keys)
        // Positions, which old files of towers have, are 64 bits wide.
        let holdsIntegers = tensors.values.contains { [.int8, .uint8, .int16, .int32].contains($0.elementType) }
        guard mark != nil || holdsIntegers else { return nil }
        let found = (QuantizationSettings.paths + ["quantization"]).lazy.compactMap {
            configuration[path: $0]?.nonNull
        }.first
        guard let settings = found else { return mark }
        var details: [String] = []
        if let bits = settings["bits"]?.integer ?? settings["w_bit"]?.integer { details.append("\(bits) bits") }
        if settings["load_in_4bit"]?.bool == true { details.append("4 bits") }
        if settings["load_in_8bit"]?.bool == true { details.append("8 bits") }
        for key in ["bnb_4bit_quant_type", "format", "quant_type", "fmt"] {
            if let text = settings[key]?.string { details.append(text) }
        }
        let method = settings["quant_method"]?.string ?? settings["quant_algo"]?.string ?? mark ?? "not named"
        return details.isEmpty ? method : "\(method) (\(details.joined(separator: ", ")))"
    }

    /// The scheme whose tensors have names of their own.
    private static func marks(in names: some Sequence<String>) -> String? {
        let endings = [
            (".absmax", "bitsandbytes"), (".SCB", "bitsandbytes"), (".qzeros", "GPTQ or AWQ"),
            (".qweight", "GPTQ or AWQ"),
            (".weight_packed", "compressed-tensors"), (".weight_zero_point", "compressed-tensors"),
            ("_blocks", "MXFP4"), (".W_q", "HQQ"), (".weight_codes", "AQLM"),
        ]
        for name in names {
            if let found = endings.first(where: { name.hasSuffix($0.0) }) { return found.1 }
        }
        // GPTQ and AWQ have these in addition to those above.
        return names.contains { $0.hasSuffix(".scales") } ? "MLX" : nil
    }
}
