import BridgeSupport
import TensorFiles
import TensorRuntime
package import TorchFiles

/// What all ranks of a run have in common, for a checkpoint that is written.
package struct CommonState: Sendable {
    /// The number of completed steps.
    package var iteration: Int
    /// Whether the checkpoint has the state of an optimizer.
    package var hasOptimizer: Bool
    /// The settings of the optimizer, without which Megatron-Core does not load its state.
    package var groups: OptimizerGroups?

    /// How the state of an optimizer is stored: each value in the shape of its parameter.
    static let shardingType = "fully_reshardable"

    package init(iteration: Int, hasOptimizer: Bool = false, groups: OptimizerGroups? = nil) {
        self.iteration = iteration
        self.hasOptimizer = hasOptimizer
        self.groups = groups
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
        if hasOptimizer {
            content.append(("distrib_optim_sharding_type", .text(Self.shardingType)))
            content.append(("distrib_optim_fully_reshardable_mem_efficient", .bool(false)))
        }
        let metadata = graph.dictionary(content)
        var entries: [(String, PickleValue)] = [
            ("checkpoint_version", .real(3)), ("iteration", .integer(iteration)), ("content_metadata", metadata),
        ]
        if hasOptimizer, let groups { entries += groups.entries(in: &graph) }
        let state = graph.dictionary(entries)
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
                guard let value = archive.content[key], let number = try archive.scalar(value, named: key) else {
                    return nil
                }
                return number >= 0 && number < 0x1p53 ? Int(exactly: number) : nil
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
