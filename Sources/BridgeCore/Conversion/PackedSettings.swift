import JSONTree
import TensorRuntime

/// The `quantization_config` of weights that are packed as compressed-tensors (0.12) does it.
enum PackedSettings {
    /// The object for some weights.
    ///
    /// Modules are matched by their names, of which transformers changes the beginnings: so by their last parts.
    ///
    /// - Parameters:
    ///   - formats: The formats of the quantized weights, by the tensors' names.
    ///   - kept: The tensors of modules that are not quantized, whether they are there or shared.
    /// - Returns: The object.
    static func json(_ formats: [String: QuantizedFormat], kept: [String]) -> JSON {
        var modules: [QuantizedFormat: [String]] = [:]
        for (name, format) in formats { modules[format, default: []].append(module(of: name)) }
        let quantized = Set(formats.keys.map(module))
        // The format of most weights holds for all linear layers but those that others name.
        let ordered = modules.sorted { ($0.value.count, $0.key.bits) > ($1.value.count, $1.key.bits) }
        let groups = ordered.enumerated().map { index, group in
            let targets = index == 0 ? ["Linear"] : Set(group.value.map { pattern($0) }).sorted()
            return ("group_\(index)", json(group.key, targets: targets))
        }
        let ignored = Set(kept.compactMap { ignorance(of: module(of: $0), beside: quantized) }).sorted()
        return [
            "config_groups": .object(JSONObject(groups)),
            "format": "pack-quantized",
            "ignore": .array(ignored.map { .string($0) }),
            "quant_method": "compressed-tensors",
            "quantization_status": "compressed",
        ]
    }

    private static func json(_ format: QuantizedFormat, targets: [String]) -> JSON {
        [
            "format": "pack-quantized",
            "input_activations": .null,
            "output_activations": .null,
            "targets": .array(targets.map { .string($0) }),
            "weights": [
                "actorder": .null,
                "dynamic": false,
                "group_size": format.groupSize.map { JSON($0) } ?? .null,
                "num_bits": JSON(format.bits),
                "strategy": .string(format.groupSize == nil ? "channel" : "group"),
                "symmetric": true,
                "type": "int",
            ],
        ]
    }

    private static func module(of tensor: String) -> String {
        tensor.hasSuffix(".weight") ? String(tensor.dropLast(".weight".count)) : tensor
    }

    /// What a regular expression is for: a module, or those inside of it.
    private enum Extent: String {
        case itself = "$"
        case inside = "\\..*"
    }

    /// A regular expression for the modules of a name's last parts: from `layers.N` on, or the last one.
    private static func pattern(_ module: String, _ extent: Extent = .itself) -> String {
        let parts = module.split(separator: ".")
        let start = parts.lastIndex(of: "layers") ?? parts.count - 1
        return "re:.*" + parts[start...].joined(separator: "\\.") + extent.rawValue
    }

    /// A regular expression for a module that is not quantized, or for the largest one around it without any that is.
    private static func ignorance(of module: String, beside quantized: Set<String>) -> String? {
        let parts = module.split(separator: ".").map(String.init)
        for end in 1..<max(parts.count, 1) {
            let outer = parts[..<end].joined(separator: ".") + "."
            guard !quantized.contains(where: { $0.hasPrefix(outer) }) else { continue }
            // Layers are numbered in other parts of a model too; the module around them has a name of its own.
            return parts[..<end].contains("layers")
                ? pattern(String(outer.dropLast()), .inside) : "re:.*\(parts[end - 1])\\..*"
        }
        return pattern(module)
    }
}
