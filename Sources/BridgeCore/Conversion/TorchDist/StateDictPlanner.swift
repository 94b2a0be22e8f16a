package import BridgeSupport
package import CheckpointFormats
import JSONTree
import ModelSchema
package import TensorFiles
import TensorRuntime
import TorchFiles

/// Plans a plain state dictionary in PyTorch's distributed checkpoint (DCP): the tensors of a model under Hugging Face's
/// names, which `torch.distributed.checkpoint.load` reads.
package struct StateDictPlanner {
    let kind: ConversionPlan.Kind
    /// The path of the source.
    let source: String
    let architecture: String
    /// The number of files.
    let writers: Int

    /// A planner.
    ///
    /// - Parameters:
    ///   - kind: The direction.
    ///   - source: The path of the source.
    ///   - architecture: The architecture of the model.
    ///   - writers: The number of files.
    /// - Throws: `BridgeError` for a number of files that no checkpoint has.
    package init(kind: ConversionPlan.Kind, source: String, architecture: String, writers: Int) throws {
        try ItemFile.check(writers: writers)
        self.kind = kind
        self.source = source
        self.architecture = architecture
        self.writers = writers
    }

    /// The plan: one chunk for each tensor.
    ///
    /// - Parameters:
    ///   - tensors: Names and elements.
    ///   - ledger: The result for every tensor.
    ///   - storages: Storages that the tensors were found in.
    /// - Returns: The plan.
    /// - Throws: `BridgeError` for a name that cannot be pickled.
    package func plan(
        _ tensors: [(name: String, view: TensorView)],
        ledger: Ledger,
        storages: [any ByteStorage] = []
    ) throws -> ConversionPlan {
        var metadata = DistributedMetadata(entries: [], objects: [], hasPlannerData: true)
        var files: [PlannedFile] = []
        for (index, group) in ItemFile.groups(of: tensors, writers: writers, byteCount: \.view.byteCount).enumerated() {
            var file = ItemFile(rank: 0, index: index)
            for (name, view) in group {
                let item = try file.add(view, shape: view.shape)
                let offsets = [Int](repeating: 0, count: view.shape.count)
                metadata.entries.append(
                    .init(
                        key: name,
                        elementType: view.elementType,
                        shape: view.shape,
                        chunks: [.init(offsets: offsets, sizes: view.shape, item: item)]
                    )
                )
            }
            files.append(file.planned)
        }
        files.append(.literal(name: DistributedMetadata.name, try metadata.pickled()))
        return ConversionPlan(
            kind: kind,
            source: source,
            architecture: architecture,
            layout: .single,
            ledger: ledger,
            lines: tensors.map {
                .init(
                    name: $0.name,
                    sources: [$0.name],
                    shape: $0.view.shape,
                    elementType: $0.view.elementType,
                    notes: ConversionPlan.Line.notes(on: $0.view)
                )
            },
            notes: [],
            plannedFiles: files,
            sources: storages,
            // Readers of torch open the files that .metadata names, and no others.
            finalize: { [(FileChecksums.fileName, FileChecksums($0).json.text())] }
        )
    }
}
