package import CheckpointFormats
package import JSONTree
package import TensorRuntime

/// The parameters that an export reads, of a checkpoint or in memory.
package struct ExportSource {
    /// The checkpoint's directory, or a description of the model, for messages.
    package let name: String
    /// The architecture that the parameters belong to.
    package let architecture: String
    package let parameters: [GlobalParameter]
    package let layout: RankLayout
    /// The ledger of the import that made the checkpoint: what was allowed to be missing, dropped and widened.
    package let ledger: JSON
    /// Whether tensors may have other names than Megatron-Core's.
    package let hasForeignNames: Bool
    /// Notes for a plan, which read the files besides the weights; loading a model does not ask for them.
    package let notes: @Sendable () throws -> [String]

    /// A Megatron checkpoint.
    ///
    /// - Parameters:
    ///   - checkpoint: The checkpoint.
    ///   - architecture: The architecture of the model that it is read as, where the checkpoint describes none.
    ///   - more: Further notes for a plan.
    package init(_ checkpoint: NativeCheckpoint, as architecture: String, notes more: [String] = []) {
        name = checkpoint.path
        self.architecture = checkpoint.isDescribed ? checkpoint.manifest.architecture : architecture
        parameters = checkpoint.parameters
        layout = checkpoint.manifest.layout
        hasForeignNames = checkpoint.container == .torchDist && !checkpoint.carriesSource
        ledger = checkpoint.manifest.ledger
        notes = { try checkpoint.sideFileNotes() + checkpoint.notes + more }
    }

    /// Parameters in memory, or of another source.
    package init(
        name: String,
        architecture: String,
        parameters: [GlobalParameter],
        ledger: JSON = .object(JSONObject())
    ) {
        self.name = name
        self.architecture = architecture
        self.parameters = parameters
        layout = RankLayout()
        hasForeignNames = false
        self.ledger = ledger
        notes = { [] }
    }
}
