import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins
import TensorRuntime

extension AutoBridge {
    /// What an import would do.
    ///
    /// - Throws: `BridgeError` for tensors that are not accounted for, and for a layout that does not fit.
    public func plan(_ options: ConversionOptions = ConversionOptions()) throws -> ConversionPlan {
        guard let directory else {
            throw BridgeError(
                .badArgument,
                "this bridge was made from a configuration alone and has no weights; use fromHF"
            )
        }
        let plugin = catalog.pluginName(for: model.architecture)
        var plan = try Importer(directory: directory, model: model, plugin: plugin, options: options).plan()
        plan.confirm = directory.confirm
        return plan
    }

    /// Writes the weights as a Megatron checkpoint, iteration 0.
    ///
    /// - Parameters:
    ///   - path: The checkpoint's directory. It appears whole or not at all.
    ///   - options: Layout, types and so on.
    /// - Returns: What was written.
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func importCheckpoint(to path: String, options: ConversionOptions = ConversionOptions()) throws
        -> ConversionReport
    {
        try importCheckpoint(plan(options), to: path, options: options)
    }

    /// Writes a plan that ``plan(_:)`` made as a Megatron checkpoint, iteration 0.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - path: The checkpoint's directory. It appears atomically.
    ///   - options: Whether what exists is replaced, and the context.
    /// - Returns: What was written.
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func importCheckpoint(_ plan: ConversionPlan, to path: String, options: ConversionOptions) throws
        -> ConversionReport
    {
        try Destination.check(path, against: [plan.source, directory?.path])
        return try NativeDestination(path: path, iteration: 0, overwrite: options.overwrite).write(
            plan,
            context: options.context
        )
    }

    /// Makes sure that an import could write its checkpoint, as far as that can be told beforehand.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`.
    public static func checkImport(to path: String, overwrite: Bool) throws {
        try NativeDestination(path: path, iteration: 0, overwrite: overwrite).check()
    }

    /// What an export of a checkpoint of this model would do.
    ///
    /// - Throws: `BridgeError` for parameters that are not accounted for.
    public func exportPlan(from path: String, options: ConversionOptions = ConversionOptions()) throws -> ConversionPlan
    {
        try exporter(path, options).plan()
    }

    /// Writes a Megatron checkpoint as a Hugging Face directory.
    ///
    /// - Parameters:
    ///   - path: The checkpoint, or a directory with iterations, of which the newest is taken.
    ///   - destination: The directory. It appears whole or not at all.
    ///   - options: Types and so on; the layout is the checkpoint's.
    /// - Returns: What was written.
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func exportCheckpoint(
        from path: String,
        to destination: String,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        try exportCheckpoint(exportPlan(from: path, options: options), to: destination, options: options)
    }

    /// Makes sure that an export could write its directory, as far as that can be told beforehand.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`.
    public static func checkExport(to destination: String, overwrite: Bool) throws {
        try HuggingFaceDirectory.checkReplaceable(destination)
        try StagedDirectory.check(Files.trimmed(destination), overwrite: overwrite)
    }

    /// Writes a plan that ``exportPlan(from:options:)`` made as a Hugging Face directory.
    ///
    /// - Parameters:
    ///   - plan: The plan.
    ///   - destination: The directory. It appears atomically.
    ///   - options: Whether what exists is replaced, and the context.
    /// - Returns: What was written.
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func exportCheckpoint(_ plan: ConversionPlan, to destination: String, options: ConversionOptions) throws
        -> ConversionReport
    {
        try Destination.check(destination, against: [plan.source, directory?.path])
        try HuggingFaceDirectory.checkReplaceable(destination)
        let directory = try StagedDirectory(destination: destination, overwrite: options.overwrite)
        var report = try directory.filling {
            let report = try plan.write(into: directory.path, context: options.context)
            try directory.commit()
            return report
        }
        report.destination = directory.destination
        return report
    }

    /// The same as ``exportCheckpoint(from:to:options:)``, under the name that users of transformers look for.
    @discardableResult
    public func saveHF(
        _ path: String,
        to destination: String,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        try exportCheckpoint(from: path, to: destination, options: options)
    }

    /// The Hugging Face tensors of a checkpoint, one at a time; each is read when the loop comes to it.
    ///
    /// - Parameters:
    ///   - path: The checkpoint.
    ///   - options: Types and what may be missing.
    /// - Returns: The tensors, none of them read yet.
    /// - Throws: `BridgeError` for parameters that are not accounted for.
    public func exportWeights(from path: String, options: ConversionOptions = ConversionOptions()) throws
        -> ExportedWeights
    {
        ExportedWeights(try exporter(path, options).tensors().tensors.map { ($0.name, $0.view) })
    }

    func exporter(_ path: String, _ options: ConversionOptions) throws -> Exporter {
        let checkpoint = try opened(path)
        guard !checkpoint.manifest.holdsAdapter else {
            throw BridgeError(
                .badArgument,
                "\(checkpoint.path) holds adapters and no model; 'bridge adapter export' writes them for PEFT, "
                    + "'bridge adapter merge' puts them into a model"
            )
        }
        let reference = try directory.map { try HuggingFaceReference($0) } ?? HuggingFaceReference(checkpoint)
        return Exporter(source: try ExportSource(checkpoint), model: model, reference: reference, options: options)
    }

    /// The exporter of parameters in memory, which are those of this bridge's model.
    func exporter(_ state: TrainingState, _ options: ConversionOptions) throws -> Exporter {
        let reference =
            try directory.map { try HuggingFaceReference($0) } ?? checkpoint.map { try HuggingFaceReference($0) }
            ?? HuggingFaceReference(configuration: model.configuration, style: checkpointStyle)
        let source = ExportSource(
            name: modelPath ?? "the model in memory",
            architecture: model.architecture,
            parameters: try TrainedNames(model.table(reference.style)).parameters(
                state.parameters.map { ($0.name, $0.tensor) }
            )
        )
        return Exporter(source: source, model: model, reference: reference, options: options)
    }

    /// A checkpoint, opened unless it is the one that this bridge was made from.
    func opened(_ path: String) throws -> NativeCheckpoint {
        if let checkpoint, checkpoint.path == (try? NativeCheckpoint.iterationPath(path)) { return checkpoint }
        return try NativeCheckpoint(path: path)
    }
}
