import BridgeSupport
import CheckpointFormats
public import Conversion
import TensorFiles
import TensorRuntime

extension AutoBridge {
    /// The plan of a plain state dictionary in PyTorch's distributed checkpoint (DCP): every tensor of the weight files as
    /// it is stored, under its name.
    ///
    /// `torch.distributed.checkpoint.load` reads it into the state dictionary of a model of transformers.
    ///
    /// - Parameter options: The type of the tensors, and the number of files.
    /// - Returns: The plan.
    /// - Throws: `BridgeError` for a bridge without weights.
    public func stateDictPlan(_ options: ConversionOptions = ConversionOptions()) throws -> ConversionPlan {
        guard let directory else {
            throw BridgeError(
                .badArgument,
                "this bridge was made from a configuration alone and has no weights; use fromHF"
            )
        }
        let tensors = directory.tensors.sorted { $0.key < $1.key }.map { name, tensor in
            let view = TensorView(tensor)
            let isFloat = [.float32, .bfloat16, .float16, .float64].contains(tensor.elementType)
            return (name: name, view: options.elementType.map { isFloat ? view.cast(to: $0) : view } ?? view)
        }
        var ledger = Ledger()
        ledger.mapped = tensors.map(\.name)
        return try StateDictPlanner(
            kind: .importing,
            source: directory.path,
            architecture: model.architecture,
            writers: options.writers
        ).plan(tensors, ledger: ledger, storages: directory.weightStorages)
    }

    /// Checks that a state dictionary can be written.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`, also for a directory with something else.
    public static func checkStateDict(to path: String, overwrite: Bool) throws {
        if Files.kind(of: path) == .directory {
            let names = try Files.list(path)
            guard names.isEmpty || TorchDistDirectory.isOne(names) else {
                throw BridgeError(
                    .destinationTaken,
                    "\(path) is not empty and has no \(DistributedMetadata.name) of a distributed checkpoint; choose another "
                        + "directory"
                )
            }
        }
        try StagedDirectory.check(Files.trimmed(path), overwrite: overwrite)
    }

    /// Writes a plan of ``stateDictPlan(_:)``.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - path: The directory, written atomically.
    ///   - options: Whether an existing destination is replaced, and the context.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    @discardableResult
    public func writeStateDict(_ plan: ConversionPlan, to path: String, options: ConversionOptions) throws
        -> ConversionReport
    {
        try Destination.check(path, against: [plan.source, directory?.path])
        try Self.checkStateDict(to: path, overwrite: options.overwrite)
        let staged = try StagedDirectory(destination: path, overwrite: options.overwrite)
        var report = try staged.filling {
            let report = try plan.write(into: staged.path, context: options.context)
            try staged.commit()
            return report
        }
        report.destination = staged.destination
        return report
    }
}
