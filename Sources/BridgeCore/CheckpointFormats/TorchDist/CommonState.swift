import BridgeSupport
import TensorFiles
import TensorRuntime
package import TorchFiles

/// What all ranks of a run have in common, for a checkpoint that is written.
package struct CommonState: Sendable {
    /// The number of completed steps.
    package var iteration: Int
    /// What a run with an optimizer adds.
    package var hasOptimizer: Bool

    package init(iteration: Int, hasOptimizer: Bool = false) {
        self.iteration = iteration
        self.hasOptimizer = hasOptimizer
    }

    /// The dictionary, as the only item of a list where megatron-core 0.19 has it.
    ///
    /// - Parameter isInList: Whether it is the object `common_state` and not the file `common.pt`.
    /// - Returns: The value.
    package func graph(isInList: Bool) -> PickleGraph {
        var graph = PickleGraph()
        // How the keys of a checkpoint are to be read: not one tensor for each rank, no numbered optimizers.
        var content: [(String, PickleValue)] = [
            ("singleton_local_shards", .bool(false)), ("chained_optim_avoid_prefix", .bool(true)),
        ]
        if hasOptimizer { content.append(("distrib_optim_sharding_type", .text("fully_reshardable"))) }
        let metadata = graph.dictionary(content)
        let state = graph.dictionary([
            ("checkpoint_version", .real(3)), ("iteration", .integer(iteration)), ("content_metadata", metadata),
        ])
        graph.finish(isInList ? graph.add(.list([state])) : state)
        return graph
    }
}

/// `train_state.pt` of Megatron Bridge: how far a run is.
package struct TrainStateFile: Sendable {
    package var step: Int
    package var consumedSamples: Int

    package init(step: Int, consumedSamples: Int) {
        self.step = step
        self.consumedSamples = consumedSamples
    }

    /// The progress that a checkpoint of Megatron Bridge or Megatron-LM has; nil for one without.
    ///
    /// Megatron Bridge has it in `train_state.pt`, Megatron-LM in the arguments of the common state.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    package static func read(_ directory: TorchDistDirectory) throws -> TrainStateFile? {
        let path = Files.join(directory.path, TorchDistDirectory.trainStateName)
        if Files.exists(path) {
            let archive = try TorchArchive(
                FileStorage(path: path),
                name: path,
                globals: .listed(PickleGlobals.tensors)
            )
            func count(_ key: String) throws -> Int? {
                guard let value = archive.content[key], let tensor = try archive.tensor(value, named: key) else {
                    return nil
                }
                guard tensor.shape.isEmpty, [.int32, .int64].contains(tensor.elementType) else { return nil }
                let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
                let number = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                return (0..<1 << 53).contains(number) ? Int(number) : nil
            }
            if let step = try count("step"), let samples = try count("consumed_train_samples") {
                return TrainStateFile(step: step, consumedSamples: samples)
            }
            throw BridgeError(
                .corruptInput,
                "\(path) has no step and no consumed_train_samples, expected both as counts"
            )
        }
        guard let state = try directory.commonState(), let step = state["iteration"]?.integer,
            let samples = state["args"]?.attribute("consumed_train_samples")?.integer, step >= 0, samples >= 0
        else { return nil }
        return TrainStateFile(step: step, consumedSamples: samples)
    }

    /// The content of the file: tensors without dimensions, of the types that Megatron Bridge 0.6 gives them.
    ///
    /// - Throws: `BridgeError` for content that cannot be pickled.
    package func bytes() throws -> [UInt8] {
        var graph = PickleGraph()
        var storages: [[UInt8]] = []
        var pairs: [(String, PickleValue)] = []
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
        for (name, value) in [
            ("step", step), ("consumed_train_samples", consumedSamples), ("skipped_train_samples", 0),
            ("consumed_valid_samples", 0),
        ] {
            pairs.append((name, graph.tensor(.int64, shape: [], key: "\(storages.count)")))
            storages.append(bytes(Int64(value)))
        }
        pairs.append(
            ("floating_point_operations_so_far", graph.tensor(.float32, shape: [], key: "\(storages.count)"))
        )
        storages.append(bytes(Float(0).bitPattern))
        for name in ["do_train", "do_valid", "do_test"] {
            pairs.append((name, graph.tensor(.bool, shape: [], key: "\(storages.count)")))
            storages.append([0])
        }
        let state = graph.dictionary(pairs)
        graph.finish(state)
        return try TorchArchive.bytes(of: graph, prefix: "train_state", storages: storages)
    }
}
