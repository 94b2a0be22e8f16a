/// The names of a distributed checkpoint's tensors and Megatron-Core's names of parameters.
///
/// Source: `sharded_state_dict` of transformer_block.py and mlp.py, megatron-core 0.16 to 0.19.
package enum MegatronKey {
    /// What a key is for.
    package enum Kind: Equatable, Sendable {
        /// A parameter under its own name.
        case parameter
        /// The parameter of all layers of a stack.
        case stacked
        /// Half of a fused first matrix of an MLP: the gate is `weight_w`, the other half `weight_v`.
        case gate
        case up
        /// The optimizer's state.
        case optimizer
        /// What modules store beside their parameters, as Transformer Engine does for FP8.
        case extraState
        /// State of a run besides the model: random numbers, the re-run machine, schedules.
        case run
    }

    /// The kind of a key.
    package static func kind(of key: String) -> Kind {
        if isOptimizer(key) { return .optimizer }
        if key.contains("._extra_state") { return .extraState }
        if runKeys.contains(where: { key == $0 || key.hasPrefix("\($0)/") || key.hasPrefix("\($0).") }) { return .run }
        for module in [".linear_fc1.", ".linear_fc1.adapter.linear_out."] {
            if key.hasSuffix("\(module)weight_w") { return .gate }
            if key.hasSuffix("\(module)weight_v") { return .up }
        }
        return stack(of: key) == nil ? .parameter : .stacked
    }

    private static let runKeys = [
        "common_state", "rng_state", "rerun_state_machine_state", "rerun_state_machine", "opt_param_scheduler", "args",
        "iteration", "num_floating_point_operations_so_far",
    ]

    private static func isOptimizer(_ key: String) -> Bool {
        key.hasPrefix("optimizer.")
            // A chain of optimizers numbers its parts.
            || key.hasPrefix("chained_") && key.contains(".optimizer.")
    }

    /// Which value of the optimizer a key is for, under Bridge's name, and the key of the parameter; nil for other keys.
    ///
    /// A distributed optimizer that is saved as `fully_reshardable` names its float32 parameters `param`, one that is
    /// not distributed `fp32_param`. Source: distrib_optimizer.py and optimizer.py, megatron-core 0.19.
    static func optimizerState(_ key: String) -> (kind: String, parameter: String)? {
        let prefix = "optimizer.state."
        guard key.hasPrefix(prefix) else { return nil }
        let rest = key.dropFirst(prefix.count)
        guard let dot = rest.firstIndex(of: "."),
            let kind = optimizerKinds.first(where: { $0.megatron == rest[..<dot] })
        else { return nil }
        return (kind.bridge, String(rest[rest.index(after: dot)...]))
    }

    /// Names of the optimizer's values; of several for one, the first is written.
    private static let optimizerKinds: [(megatron: String, bridge: String)] = [
        ("param", "main"), ("fp32_param", "main"), ("exp_avg", "exp_avg"), ("exp_avg_sq", "exp_avg_sq"),
        ("momentum_buffer", "momentum"),
    ]

    /// The module that an adapter's parameter is for; nil for the key of another parameter.
    static func adaptedModule(_ key: String) -> String? {
        key.firstRange(of: ".adapter.").map { String(key[..<$0.lowerBound]) }
    }

    private static let (momentPrefix, mainPrefix) = ("optimizer.state.exp_avg.", "optimizer.state.param.")

    /// The parameter of a first moment, and the key of its float32 copy; nil for other keys.
    static func mainParameter(ofMoment key: String) -> (key: String, main: String)? {
        guard key.hasPrefix(momentPrefix) else { return nil }
        let parameter = String(key.dropFirst(momentPrefix.count))
        return (parameter, mainPrefix + parameter)
    }

    /// The parameter of a float32 copy; nil for other keys.
    static func parameter(ofMain key: String) -> String? {
        key.hasPrefix(mainPrefix) ? String(key.dropFirst(mainPrefix.count)) : nil
    }

    /// The position in a key after which the number of the layer is missing; nil where none is.
    private static func stack(of key: String) -> String.Index? {
        guard let range = key.firstRange(of: "decoder.layers.") else { return nil }
        guard range.lowerBound == key.startIndex || key[..<range.lowerBound].hasSuffix(".") else { return nil }
        let number = key[range.upperBound...].prefix { $0 != "." }
        return number.allSatisfy(\.isNumber) ? nil : range.upperBound
    }

    /// The name of a layer's parameter in a stack.
    package static func name(ofLayer layer: Int, in key: String) -> String {
        guard let position = stack(of: key) else { return key }
        return "\(key[..<position])\(layer).\(key[position...])"
    }

    /// The key of the stack that a layer's parameter is in, with the number of the layer; nil outside the decoder's layers.
    package static func stacked(_ name: String) -> (key: String, layer: Int)? {
        guard let range = name.firstRange(of: "decoder.layers."),
            range.lowerBound == name.startIndex || name[..<range.lowerBound].hasSuffix(".")
        else { return nil }
        let number = name[range.upperBound...].prefix { $0 != "." }
        guard let layer = Int(number), number.endIndex < name.endIndex else { return nil }
        return (String(name[..<range.upperBound] + name[name.index(after: number.endIndex)...]), layer)
    }

    /// Where a parameter, or a value of the optimizer under Bridge's name, is stored: the key, and the layer in a stack.
    package static func location(of name: String) -> (key: String, layer: Int?) {
        let kind = optimizerKinds.first { name.hasPrefix("optimizer.\($0.bridge).") }
        let prefix = kind.map { "optimizer.state.\($0.megatron)." } ?? ""
        let own = kind.map { String(name.dropFirst("optimizer.\($0.bridge).".count)) } ?? name
        let stack = stacked(own)
        return (prefix + (stack?.key ?? own), stack?.layer)
    }

    /// The name of the fused matrix that half a key belongs to.
    static func fused(_ key: String) -> String { String(key.dropLast(2)) }
}
