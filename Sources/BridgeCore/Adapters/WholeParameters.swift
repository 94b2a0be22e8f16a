import BridgeSupport
package import Models
package import TensorRuntime

/// Parameters that were trained in full together with adapters, as PEFT stores them: under their names in transformers'
/// modules, in the adapter's file.
///
/// Source: `modules_to_save` in `get_peft_model_state_dict`, peft/utils/save_and_load.py, 0.21.
package struct WholeParameters {
    /// The tensors, under their names after PEFT's prefix.
    package let tensors: [(name: String, tensor: Tensor)]
    /// The modules for `modules_to_save`.
    package let modules: [String]

    /// The tensors and modules of adapters.
    ///
    /// A parameter that also has an adapter is stored as its base layer, which PEFT loads automatically. A tied output
    /// layer is stored in addition to its embedding, because PEFT would otherwise keep the base model's weight.
    ///
    /// - Throws: `BridgeError` for a parameter without a name in transformers' memory.
    package init(_ adapters: AdapterSet, on model: any CausalModel, _ names: AdapterNames) throws {
        func name(_ own: String) throws -> String {
            guard let name = names.names[own] else {
                throw BridgeError(.badPlugin, "\(own) has no name in Hugging Face's model")
            }
            return name
        }
        func stored(_ parameter: Parameter) throws -> Tensor {
            try names.whole(parameter.tensor.detached, of: parameter.name)
        }
        var whole = try adapters.wholeParameters.map { (name: try name($0.name), parameter: $0) }
        if model.decoder.isTied, whole.contains(where: { $0.parameter === model.decoder.embedding }) {
            whole.append((try name(model.decoder.outputName), model.decoder.embedding))
        }
        let biases = Set(adapters.modules.map { "\($0.name).bias" })
        let adapted = whole.filter {
            $0.parameter.linear?.adapter != nil && $0.parameter.linear?.weight === $0.parameter
                || biases.contains($0.parameter.name)
        }
        let adaptedNames = Set(adapted.map(\.name))
        let plain = Set(whole.map(\.name)).subtracting(adaptedNames)
        // A module is stored with all of its parameters, so those of a plain one that are not trained go with it.
        let all = try model.parameters.map { (name: try name($0.name), parameter: $0) }
        modules = Self.modules(of: plain, all: all.map(\.name), parts: model.parts.map(\.name))
        let paths = Self.paths(of: plain, all: all.map(\.name))
        let beside = all.filter { entry in
            !plain.contains(entry.name) && !adaptedNames.contains(entry.name)
                && paths.contains { entry.name.hasPrefix("\($0).") }
        }
        tensors =
            try (whole.filter { plain.contains($0.name) } + beside).map { ($0.name, try stored($0.parameter)) }
            + adapted.map { (Self.baseLayerName($0.name), try stored($0.parameter)) }
    }

    /// `a.b.weight` as PEFT calls it where `a.b` has an adapter: `a.b.base_layer.weight`.
    private static func baseLayerName(_ name: String) -> String {
        let parts = name.split(separator: ".")
        return (parts.dropLast() + ["base_layer"] + parts.suffix(1)).joined(separator: ".")
    }

    /// The names of modules for PEFT, which compares them with the ends of full names.
    private static func modules(of names: Set<String>, all: [String], parts: [String]) -> [String] {
        paths(of: names, all: all).map { path in
            let last = path.split(separator: ".").last.map(String.init) ?? path
            return parts.contains(last) && last != "language_model" ? last : path
        }
    }

    /// The fewest modules that hold the given parameters and, as far as possible, no others.
    private static func paths(of names: Set<String>, all: [String]) -> [String] {
        func ancestors(_ name: String) -> [String] {
            let parts = name.split(separator: ".").dropLast().map(String.init)
            return parts.indices.map { parts[...$0].joined(separator: ".") }
        }
        var others: Set<String> = []
        for name in all where !names.contains(name) { others.formUnion(ancestors(name)) }
        var paths: [String] = []
        for name in names.sorted() {
            let chain = ancestors(name)
            guard let path = chain.first(where: { !others.contains($0) }) ?? chain.last else { continue }
            if !paths.contains(path) { paths.append(path) }
        }
        return paths
    }
}
