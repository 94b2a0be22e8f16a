public import Adapters
import BridgeSupport
import CheckpointFormats
public import Communication
public import Models
import TensorRuntime

extension AutoBridge {
    /// Checks before a run that its adapters can be saved in Megatron-Core's container, which stores the adapters of all
    /// layers as one tensor.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - model: Their model.
    ///   - groups: The ranks of the run, all of which call this.
    /// - Throws: `BridgeError` with the modules that have adapters in some layers only.
    public static func checkLayers(
        of adapters: AdapterSet,
        on model: any CausalModel,
        groups: ProcessGroupCollection = .single
    ) throws {
        func layers(_ parameters: [Parameter]) -> [String: Set<Int>] {
            var found: [String: Set<Int>] = [:]
            for parameter in parameters {
                guard let (key, layer) = MegatronKey.stacked(parameter.name) else { continue }
                found[key, default: []].insert(layer)
            }
            return found
        }
        let own = layers(adapters.parameters)
        let expected: Set<Int> = layers(model.parameters).values.reduce(into: []) { $0.formUnion($1) }
        // A stage may have no layer with an adapter that others have.
        let keys = try groups.world.agree { Array(own.keys.sorted().joined(separator: "\n").utf8) }
        let all = Set(keys.flatMap { String(decoding: $0, as: UTF8.self).split(separator: "\n").map(String.init) })
        _ = try groups.world.agree {
            let partial = all.filter { own[$0, default: []] != expected }
            guard partial.isEmpty else {
                throw BridgeError(
                    .badArgument,
                    "checkpoint.ckpt_format is torch_dist, which stores the adapters of all layers together, and "
                        + "\(ByteFormat.counted(partial.count, "tensor")) would have some layers only; choose targets in every "
                        + "layer, or checkpoint.ckpt_format=native",
                    names: partial.sorted()
                )
            }
            return []
        }
    }
}
