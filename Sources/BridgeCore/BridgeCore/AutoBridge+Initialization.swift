import CheckpointFormats
import Conversion
import JSONTree
import ModelPlugins
import ModelSchema
public import Models
import TensorFiles
public import TensorRuntime

extension AutoBridge {
    /// The model with random weights, for training from scratch.
    ///
    /// Matrices are normally distributed with the standard deviation `initializer_range`, 0.02 without it; norms
    /// are the identity and biases are zero. The values of a weight depend on the seed and its name.
    ///
    /// Source: `_init_weights` in `modeling_utils.py`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - seed: The seed of the random numbers.
    ///   - elementType: float32 or bfloat16.
    ///   - engine: The engine that computes.
    ///   - parallelism: How the model is divided over ranks; nil for one rank. The values do not depend on it.
    /// - Returns: The model, with every part frozen.
    /// - Throws: `BridgeError` for settings of the configuration that are not supported.
    public func initializedModel(
        seed: UInt64,
        elementType: ElementType,
        on engine: any TensorEngine,
        parallelism: ModelParallelism? = nil
    ) throws -> any CausalModel {
        let deviation = Float(initializerRange)
        return try modelOfTable(elementType, on: engine, parallelism) { name, shape, shard in
            let whole = initial(name, shape, deviation, seed, elementType, engine)
            return shard?.part(of: whole) ?? whole
        }
    }

    /// The model with uninitialized parameters of the right shapes, for counting parameters.
    ///
    /// No weight is read, and memory is reserved without being touched.
    ///
    /// - Parameters:
    ///   - elementType: float32 or bfloat16.
    ///   - engine: The engine of the model.
    ///   - parallelism: How the model is divided over ranks; nil for one rank.
    /// - Returns: The model, with every part frozen.
    /// - Throws: `BridgeError` for settings of the configuration that are not supported.
    public func shapeOnlyModel(
        elementType: ElementType,
        on engine: any TensorEngine,
        parallelism: ModelParallelism? = nil
    ) throws -> any CausalModel {
        try modelOfTable(elementType, on: engine, parallelism) { _, shape, shard in
            Tensor(uninitialized: shard?.localShape ?? shape, elementType, on: engine)
        }
    }

    /// The model with parameters created from their names and shapes.
    private func modelOfTable(
        _ elementType: ElementType,
        on engine: any TensorEngine,
        _ parallelism: ModelParallelism?,
        _ make: (_ name: String, _ shape: [Int], _ shard: ParameterShard?) -> Tensor
    ) throws -> any CausalModel {
        try model.checkRuns()
        let parallelism = parallelism ?? ModelParallelism(layerCount: model.provider.decoder.numLayers)
        var pieces: [String: [Parameter]] = [:]
        let entries = try model.table(.transformers).entries.filter { $0.mapping.sharedWith == nil }
        let isTied = !entries.contains { $0.mapping.isOutputLayer }
        for entry in entries where parallelism.has(entry, isTied: isTied) {
            let whole = entry.mapping.transform.toMegatron(entry.shapes.map { .zeros(.uint8, shape: $0) })
            let shapes = entry.mapping.transform.toLayers(whole).map(\.shape)
            pieces[entry.megatron] = shapes.enumerated().map { index, shape in
                let name = entry.pieceName(index)
                let (shard, reduction) = parallelism.shard(of: shape, entry, piece: index)
                let parameter = Parameter(name, make(name, shape, shard), shard: shard)
                parameter.gradientReduction = reduction
                return parameter
            }
        }
        return try provide(
            ModelWeights(
                pieces: pieces,
                elementType: elementType,
                engine: engine,
                isTied: isTied,
                parallelism: parallelism,
                kernels: catalog.kernels
            )
        )
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
            // The parts of a fused bias are numbered.
            engine.fill(tensor, with: model.bridge.initialValue(ofVector: TrainedNames.whole(name)))
            return tensor
        }
        let stream = RandomStream(seed: seed, stream: 0).named(name)
        let values = stream.normal(0..<shape.reduce(1, *)).map { $0 * deviation }
        return Tensor(values, shape: shape, elementType, on: engine)
    }
}
