import CheckpointFormats
import JSONTree
import ModelPlugins
import ModelSchema
public import Models
import TensorFiles
public import TensorRuntime

extension AutoBridge {
    /// The model with weights drawn anew, to be trained from the beginning.
    ///
    /// Matrices are normal with the deviation that `initializer_range` of the configuration gives, 0.02 without it; norms
    /// do nothing at first and biases are zero. Each weight's numbers follow from the seed and its name.
    ///
    /// Source: `_init_weights` in `modeling_utils.py`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - seed: What the numbers follow from.
    ///   - elementType: float32 or bfloat16.
    ///   - engine: Where to compute.
    /// - Returns: The model, with every part frozen.
    /// - Throws: `BridgeError` when the configuration asks for something that is not computed here.
    public func initializedModel(
        seed: UInt64,
        elementType: ElementType,
        on engine: any TensorEngine
    ) throws -> any CausalModel {
        let deviation = Float(initializerRange)
        return try modelOfTable(elementType, on: engine) { name, shape in
            initial(name, shape, deviation, seed, elementType, engine)
        }
    }

    /// The model with parameters of the right shapes and of no certain numbers, for somebody who counts them.
    ///
    /// No weight is read, and memory is reserved and not touched.
    ///
    /// - Parameters:
    ///   - elementType: float32 or bfloat16.
    ///   - engine: Where it would be computed.
    /// - Returns: The model, with every part frozen.
    /// - Throws: `BridgeError` when the configuration asks for something that is not computed here.
    public func shapeOnlyModel(elementType: ElementType, on engine: any TensorEngine) throws -> any CausalModel {
        try modelOfTable(elementType, on: engine) { _, shape in Tensor(uninitialized: shape, elementType, on: engine) }
    }

    /// The model whose parameters are made one after the other, from their names and shapes.
    private func modelOfTable(
        _ elementType: ElementType,
        on engine: any TensorEngine,
        _ make: (_ name: String, _ shape: [Int]) -> Tensor
    ) throws -> any CausalModel {
        var pieces: [String: [Parameter]] = [:]
        for entry in try model.table(.transformers).entries where entry.mapping.sharedWith == nil {
            let whole = entry.mapping.transform.toMegatron(entry.shapes.map { .zeros(.uint8, shape: $0) })
            let shapes = entry.mapping.transform.toLayers(whole).map(\.shape)
            pieces[entry.megatron] = shapes.enumerated().map { index, shape in
                let name = entry.pieceName(index)
                return Parameter(name, make(name, shape))
            }
        }
        return try model.provider.provide(ModelWeights(pieces: pieces, elementType: elementType, engine: engine))
    }

    private var initializerRange: Double {
        let found = ["initializer_range", "text_config.initializer_range"].lazy.compactMap {
            model.configuration[path: $0]?.double
        }.first
        return found.flatMap { $0 > 0 && $0.isFinite ? $0 : nil } ?? 0.02
    }

    private func initial(
        _ name: String,
        _ shape: [Int],
        _ deviation: Float,
        _ seed: UInt64,
        _ elementType: ElementType,
        _ engine: any TensorEngine
    ) -> Tensor {
        guard shape.count > 1 else {
            let tensor = Tensor(uninitialized: shape, elementType, on: engine)
            engine.fill(tensor, with: model.bridge.initialValue(ofVector: name))
            return tensor
        }
        let stream = RandomStream(seed: seed, stream: 0).named(name)
        let values = stream.normal(0..<shape.reduce(1, *)).map { $0 * deviation }
        return Tensor(values, shape: shape, elementType, on: engine)
    }
}
