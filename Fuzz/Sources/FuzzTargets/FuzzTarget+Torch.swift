@testable import BridgeSupport
@testable import CheckpointFormats
@testable import TensorFiles
@testable import TorchFiles

/// Readers of torch's files.
extension FuzzTarget {
    /// Any bytes as a file of `torch.save`, or as the pickle alone: of one that is accepted, every tensor lies inside it, and
    /// what it contains can be written and read again.
    static func pickle(_ bytes: [UInt8]) -> Bool {
        var limits = PickleReader.Limits()
        limits.nodes = 1 << 16
        let storage = MemoryStorage(name: "fuzz", bytes: bytes)
        let archive = try? TorchArchive(storage, name: "fuzz", globals: .opaque)
        for (_, value) in archive?.content.pairs ?? [] {
            guard let tensor = try? archive?.tensor(value, named: "fuzz") else { continue }
            let view = TensorView(tensor)
            precondition((try? TensorReader().bytes(of: view))?.count == view.byteCount, "a tensor cannot be read")
        }
        let graph = try? PickleReader.read(bytes, name: "fuzz", globals: .opaque, limits: limits)
        guard let graph = graph ?? archive?.content.graph else { return false }
        if let written = try? PickleWriter.pickle(graph) {
            let again = try? PickleReader.read(written, name: "fuzz", globals: .opaque)
            precondition(again != nil, "what is written cannot be read")
        }
        if let groups = OptimizerGroups(graph.reference) {
            let state = CommonState(iteration: 0, hasOptimizer: true, groups: groups).graph(isInList: false)
            let again = OptimizerGroups(state.reference)
            precondition(again?.groups.map(\.count) == groups.groups.map(\.count), "a group is lost")
            precondition(again?.steps == groups.steps, "the steps are lost")
        }
        return true
    }

    /// Any bytes as a `.npy` file of packed sequences: of one that is accepted, every sample lies inside its row.
    static func packed(_ bytes: [UInt8]) -> Bool {
        guard let packed = try? PackedSequences(parsing: bytes, name: "fuzz") else { return false }
        precondition(!packed.rows.isEmpty, "there is no row")
        for row in packed.rows {
            precondition(row.lossMask.count == row.tokens.count, "a token has no mask")
            let ends = row.starts.dropFirst() + [row.tokens.count]
            precondition(zip(row.starts, ends).allSatisfy { $0 < $1 } && row.starts.first == 0, "a sample is empty")
        }
        return true
    }

    /// Any bytes as `.metadata`: of one that is accepted, every chunk lies inside its tensor, and it reads the same from its own
    /// text.
    static func metadata(_ bytes: [UInt8]) -> Bool {
        guard let metadata = try? DistributedMetadata(parsing: bytes, name: "fuzz") else { return false }
        for entry in metadata.entries {
            for chunk in entry.chunks {
                let ends = zip(chunk.offsets, chunk.sizes).map { $0 + $1 }
                precondition(zip(ends, entry.shape).allSatisfy { $0 <= $1 }, "a chunk reaches outside")
                precondition(!chunk.item.file.contains("/"), "a file outside the directory")
            }
        }
        // Names alone decide; with chunks of any kind.
        _ = metadata.holdsAdapter
        var whole = metadata
        whole.addMainParameters()
        precondition(whole.entries.count <= 2 * metadata.entries.count, "more copies than parameters")
        guard let written = try? metadata.pickled() else { return true }
        let again = try? DistributedMetadata(parsing: written, name: "fuzz")
        precondition(again?.entries == metadata.entries && again?.objects == metadata.objects, "a tensor is lost")
        return true
    }
}
