import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
package import ModelSchema
package import TensorFiles
package import TensorRuntime

/// Finds the tensors of a Hugging Face checkpoint that make each parameter, and keeps the ledger.
package struct TensorResolver {
    /// The tensors that are there; while parameters are resolved, packed weights are among them as the weights.
    private var tensors: [String: StoredTensor]
    /// The other spellings of their names.
    let keyMappings: [KeyMapping]
    /// The family's rules for ignored tensors.
    let ignoredTensors: [IgnoredTensors]
    /// The names that the user allows to be missing.
    let allowed: [NameGlob]
    /// The type of dequantised weights; the others keep theirs unless `elementType` is set.
    let dequantisedType: ElementType
    /// The type that every floating-point tensor gets; nil for its own.
    let elementType: ElementType?
    /// The model's configuration, which may say that the weights are quantised.
    let configuration: JSON

    /// The resolver of an opened Hugging Face directory.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - model: The model that it describes.
    ///   - allowed: Names that may be missing or unused.
    ///   - elementType: The type that every floating-point tensor gets; nil for its own.
    package init(
        _ directory: HuggingFaceDirectory,
        _ model: FamilyModel,
        allowed: [NameGlob] = [],
        elementType: ElementType? = nil
    ) {
        tensors = directory.tensors
        keyMappings = model.bridge.keyMappings
        ignoredTensors = model.bridge.ignoredTensors
        self.allowed = allowed
        dequantisedType = model.dequantisedType
        self.elementType = elementType
        configuration = directory.configuration
    }

    /// A parameter and the view that makes it.
    package struct Resolved {
        package var entry: ParameterTable.Entry
        package var view: TensorView
        /// The tensors' names as they are in the checkpoint.
        var huggingFace: [String]
    }

    /// Resolves every parameter of a table.
    ///
    /// - Throws: `BridgeError` with code `unaccountedTensors` and all names, unless the user lets them through.
    package func resolve(_ table: ParameterTable, source: String) throws -> (parameters: [Resolved], ledger: Ledger) {
        var resolver = self
        let unpacked = try Quantisation.unpacked(tensors)
        resolver.tensors = unpacked.tensors
        let (parameters, found) = try resolver.resolveUnpacked(table, source: source)
        var ledger = found
        ledger.dequantised += unpacked.shapes
        return (parameters, ledger)
    }

    private func resolveUnpacked(_ table: ParameterTable, source: String) throws
        -> (parameters: [Resolved], ledger: Ledger)
    {
        var ledger = Ledger()
        var used: Set<String> = []
        var problems: [String] = []
        var isUsable = true
        var parameters: [Resolved] = []
        /// Notes a tensor that is there and cannot be used, which no option allows.
        func refuse(_ problem: String) {
            problems.append(problem)
            isUsable = false
        }

        for entry in table.entries {
            let names = entry.huggingFace.map(spelling)
            let missing = zip(entry.huggingFace, names).filter { $1 == nil }.map(\.0)
            guard missing.isEmpty else {
                if let other = entry.mapping.sharedWith, missing.count == names.count {
                    ledger.shared[entry.megatron] = other
                } else if !entry.mapping.isOptional {
                    for name in missing {
                        if ledger.allows([name, entry.megatron], by: allowed) {
                            ledger.allowed.append(name)
                            names.compactMap { $0 }.forEach { used.insert($0) }
                        } else {
                            problems.append("\(name): missing, needed for \(entry.megatron)")
                        }
                    }
                }
                continue
            }
            var views: [TensorView] = []
            for (name, shape) in zip(names.compactMap { $0 }, entry.shapes) {
                guard let tensor = tensors[name] else { continue }
                used.insert(name)
                if tensor.shape != shape {
                    refuse("\(name): has the shape \(tensor.shape), the configuration gives \(shape)")
                    continue
                }
                do {
                    views.append(try view(of: tensor, used: &used, ledger: &ledger))
                } catch let error as BridgeError {
                    refuse("\(name): \(error.message)")
                }
            }
            guard views.count == entry.shapes.count else { continue }
            // Pieces of one parameter have one type; where they do not, the narrowest that holds them all.
            let types = Set(views.map(\.elementType))
            if types.count > 1 {
                guard let common = ElementType.common(types) else {
                    refuse("\(entry.megatron): its pieces have the types \(views.map(\.elementType.rawValue))")
                    continue
                }
                for (name, view) in zip(names.compactMap { $0 }, views) where view.elementType != common {
                    ledger.widened[name] = view.elementType
                }
                views = views.map { $0.cast(to: common) }
            }
            ledger.mapped += names.compactMap { $0 }
            parameters.append(
                Resolved(
                    entry: entry,
                    view: entry.mapping.transform.toMegatron(views),
                    huggingFace: names.compactMap { $0 }
                )
            )
        }

        for name in tensors.keys.sorted() where !used.contains(name) {
            if let rule = IgnoredTensors.reason(for: name, in: ignoredTensors) {
                ledger.ignored.append(Ledger.Ignored(name: name, reason: rule))
                // Naming what is ignored anyway is not a mistake.
                _ = ledger.allows([name], by: allowed)
            } else if ledger.allows([name], by: allowed) {
                ledger.allowed.append(name)
            } else {
                problems.append("\(name): no parameter of this model takes it")
            }
        }
        guard problems.isEmpty else {
            if let scheme = Quantisation.unsupportedScheme(of: configuration, tensors) {
                throw BridgeError(
                    .unaccountedTensors,
                    "\(source) is quantised: its quant_method is \(scheme), which is not supported; supported are 16 and 32 bits, "
                        + "and FP8 with weight_scale_inv, weight_scale or qscale_weight. Take the 16-bit model that it was made "
                        + "from, or write one with transformers' dequantize()",
                    names: problems
                )
            }
            throw BridgeError(
                .unaccountedTensors,
                "\(ByteFormat.counted(problems.count, "tensor")) of \(source) not accounted for, so nothing was written; "
                    + (isUsable
                        ? "allow them with --allow-missing NAME if the model computes the same without them"
                        : "expected config.json and weights of the same model"),
                names: problems
            )
        }
        try Quantisation.checkMethod(in: configuration, source: source)
        return (parameters, ledger)
    }

    /// The spelling of a table's name that is in the checkpoint.
    private func spelling(_ name: String) -> String? {
        if tensors[name] != nil { return name }
        return keyMappings.lazy.map { $0.renamed(name) }.first { tensors[$0] != nil }
    }

    private func view(of tensor: StoredTensor, used: inout Set<String>, ledger: inout Ledger) throws -> TensorView {
        let packed = tensor.storage as? PackedStorage
        guard packed != nil || tensor.elementType == .float8E4M3 || tensor.elementType == .float8E5M2 else {
            return elementType.map { TensorView(tensor).cast(to: $0) } ?? TensorView(tensor)
        }
        guard let factors = Quantisation.scaleNames(of: tensor.name).lazy.compactMap({ tensors[$0] }).first else {
            throw BridgeError(
                .corruptInput,
                "holds \(packed?.bits ?? 8)-bit values, but there is no \(Quantisation.scaleNames(of: tensor.name)[0]) with their scale"
            )
        }
        used.insert(factors.name)
        ledger.dequantised.append(factors.name)
        let size = try Quantisation.blockSize(in: configuration)
        let block =
            packed == nil
            ? try Quantisation.block(of: tensor, factors: factors, size: size)
            : try Quantisation.group(of: tensor, factors: factors)
        return TensorView(tensor).dequantised(
            by: factors,
            blockRows: block.rows,
            blockColumns: block.columns,
            to: elementType ?? dequantisedType
        )
    }
}

extension IgnoredTensors {
    /// Why a tensor is not needed; nil for one that is.
    ///
    /// - Parameters:
    ///   - name: The tensor.
    ///   - rules: The family's own rules.
    /// - Returns: The reason.
    static func reason(for name: String, in rules: [IgnoredTensors]) -> String? {
        if Quantisation.isActivationScale(name) {
            return "scale of quantised activations, which are not supported"
        }
        // transformers ignores these when it loads a model.
        if name.hasSuffix("rotary_emb.inv_freq") { return "rotary frequencies, which follow from the configuration" }
        return rules.first { $0.names.matches(name) }?.reason
    }
}

extension ElementType {
    /// The narrowest type that represents all values of some floating-point types; nil for others.
    static func common(_ types: Set<ElementType>) -> ElementType? {
        guard types.allSatisfy({ $0.isFloatingPoint && $0.byteCount > 1 }) else { return nil }
        if types.contains(.float64) { return .float64 }
        return types.count == 1 ? types.first : .float32
    }
}
