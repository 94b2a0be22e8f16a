import Adapters
import BridgeSupport
import CheckpointFormats
public import Communication
public import Conversion
import JSONTree
import ModelPlugins
public import ModelSchema
public import Recipes
import TensorFiles
import TensorRuntime

extension AutoBridge {
    /// How far the run is whose checkpoint another program wrote; nil for a checkpoint without progress.
    ///
    /// - Parameter path: The directory of an iteration.
    /// - Returns: The progress.
    /// - Throws: `BridgeError` for a damaged checkpoint.
    public static func megatronProgress(_ path: String) throws -> MegatronProgress? {
        guard let names = try? Files.list(path), TorchDistDirectory.isOne(names) else { return nil }
        let directory = try TorchDistDirectory(path: path)
        guard let found = try TrainStateFile.read(directory) else { return nil }
        let steps = try directory.optimizerGroups()?.steps
        return (steps: found.step, consumedSamples: found.consumedSamples, optimizerSteps: steps)
    }

    /// How far a run of another program is: the completed steps, the consumed samples, and the steps of the optimizer, nil
    /// where they are not stored.
    public typealias MegatronProgress = (steps: Int, consumedSamples: Int, optimizerSteps: Int?)

    /// Loads the tensors of a run that ``save(_:to:iteration:files:container:groups:context:)`` wrote.
    ///
    /// - Parameters:
    ///   - state: Tensors that own their memory, of the saved shapes; types may differ.
    ///   - path: The directory of an iteration, written under any layout.
    ///   - groups: The ranks of this run; each loads its part.
    /// - Throws: `BridgeError` for missing tensors and for other shapes.
    public func restore(
        _ state: TrainingState,
        from path: String,
        groups: ProcessGroupCollection = .single
    ) throws {
        let checkpoint = try opened(path)
        guard checkpoint.manifest.holdsAdapter == (state.adapters != nil) else {
            throw BridgeError(
                .badArgument,
                "\(path) holds \(checkpoint.manifest.holdsAdapter ? "adapters" : "a whole model"), which this run does not "
                    + "train; use the recipe that it was made with, or another checkpoint.save"
            )
        }
        let names = TrainedNames(try model.table(style))
        let stored = try checkpoint.parameters + checkpoint.optimizerParameters()
        let found = Dictionary(stored.map { ($0.name, $0.view) }) { first, _ in first }
        let reader = TensorReader()
        func fill(_ pieces: [(name: String, tensor: Tensor, shard: ParameterShard?)], prefix: String) throws {
            for (whole, tensors) in TrainedNames.grouped(pieces, name: \.name) {
                guard let view = found[prefix + whole], let location = names.location(of: whole) else {
                    throw BridgeError(
                        .corruptInput,
                        "\(path) has no \(prefix)\(whole), which this run trains; resume with the recipe of the checkpoint"
                    )
                }
                // Other programs store the rows that pad a vocabulary.
                let isPadded = checkpoint.container == .torchDist && location.split == .vocabulary
                let own = isPadded ? view.rows(0..<model.provider.decoder.vocabSize) : view
                let matrices = tensors.count == 1 ? [own] : location.transform.toLayers(own)
                for (piece, matrix) in zip(tensors, matrices) {
                    let (tensor, matrix) = (piece.tensor, piece.shard?.part(of: matrix) ?? matrix)
                    guard matrix.shape == tensor.shape else {
                        throw BridgeError(
                            .corruptInput,
                            "\(path): \(prefix)\(whole) has the shape \(view.shape), which is not that of this run's parameters; "
                                + "resume with the recipe of the checkpoint"
                        )
                    }
                    if tensor.count > 0 { try reader.read(matrix, into: tensor) }
                }
            }
        }
        let filled = Set(state.parameters.map { TrainedNames.whole($0.name) })
        // In a checkpoint with adapters every parameter of the model was trained; another rank has those of other stages.
        if groups.pp.size == 1,
            let lost = checkpoint.parameters.first(where: {
                (TrainedNames.isAdapter($0.name) || state.adapters != nil) && !filled.contains($0.name)
            })
        {
            throw BridgeError(
                .badArgument,
                "\(path) has \(lost.name), which this run does not train; resume with the recipe of the checkpoint"
            )
        }
        try fill(state.parameters.map { ($0.name, $0.tensor, $0.shard) }, prefix: "")
        for (kind, moments) in Dictionary(grouping: state.moments, by: \.kind) {
            try fill(moments.map { ($0.parameter, $0.tensor, $0.shard) }, prefix: "optimizer.\(kind).")
        }
    }
}

extension Recipe {
    /// Which weights of a run have fewer bits; nil for none.
    public var quantization: WeightQuantization? {
        guard model.isQuantized,
            let layers = QuantizedFormat(bits: model.loadIn4bit ? 4 : 8, groupSize: model.quantizationGroupSize)
        else { return nil }
        return WeightQuantization(
            layers: layers,
            tables: QuantizedFormat(bits: 8, groupSize: model.quantizationGroupSize)
        )
    }
}
