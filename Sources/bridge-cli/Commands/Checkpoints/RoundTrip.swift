import BridgeCore
import Communication
import Foundation
import TensorRuntime

/// A model that is loaded sharded across ranks and exported from there, for the comparison with its source.
struct RoundTrip {
    /// The directory or the checkpoint.
    let source: String
    /// The supported families.
    let catalog: PluginCatalog
    /// The ranks that the model is divided over.
    let groups: ProcessGroupCollection
    /// The number of threads of each rank.
    let threads: Int

    /// Runs it; every rank of the groups does so.
    ///
    /// - Returns: The source and the export on the first rank, after comparing them; nil on the others.
    /// - Throws: `BridgeError` for a model that cannot be loaded, divided or saved.
    func run(_ context: RunContext) throws -> Verifier.Result? {
        let bridge = try AutoBridge.fromAny(source, catalog: catalog)
        var provider = bridge.toMegatronProvider()
        (provider.tensorModelParallelSize, provider.pipelineModelParallelSize) = (groups.tp.size, groups.pp.size)
        let model = try bridge.toModel(
            weights: bridge.directory == nil ? source : nil,
            on: CPUEngine(threadCount: threads),
            parallelism: provider.parallelism(in: groups)
        )
        // The first rank names the iteration's directory to the others.
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "bridge-roundtrip-\(UUID().uuidString)"
        ).path
        defer { if groups.rank == 0 { try? FileManager.default.removeItem(atPath: directory) } }
        try bridge.save(
            TrainingState(parameters: model.parameters, moments: []),
            to: directory,
            iteration: 0,
            files: [],
            groups: groups,
            context: context
        )
        guard groups.rank == 0 else { return nil }
        let original = try Checkpoint(path: source, catalog: catalog)
        let exported = try Checkpoint(path: directory, catalog: catalog)
        // In memory all weights have one type; where that is not theirs, it holds their values.
        let stored = Set(original.tensors.map(\.view.elementType))
        let type = model.decoder.embedding.tensor.elementType
        return try Verifier(original, exported).run(context, ignoringTypes: stored != [type])
    }
}
