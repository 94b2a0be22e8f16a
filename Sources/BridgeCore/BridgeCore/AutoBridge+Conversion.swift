import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins
import TensorRuntime

extension AutoBridge {
    /// The plan of an import.
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
        return try Importer(
            directory: directory,
            model: model,
            plugin: plugin,
            options: options,
            providerClass: catalog.providerClass(of: model.architecture)
        ).plan()
    }

    /// Writes the weights as a Megatron checkpoint, iteration 0.
    ///
    /// - Parameters:
    ///   - path: The checkpoint's directory, written atomically.
    ///   - options: Layout, types and other options.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
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
    ///   - path: The checkpoint's directory, written atomically.
    ///   - options: Whether an existing destination is replaced, and the context.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
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

    /// Checks before an import whether its checkpoint can be written.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`.
    public static func checkImport(to path: String, overwrite: Bool) throws {
        try NativeDestination(path: path, iteration: 0, overwrite: overwrite).check()
    }

    /// The plan of an export of a checkpoint of this model, to a Hugging Face directory or to GGUF files.
    ///
    /// - Throws: `BridgeError` for parameters that are not accounted for.
    public func exportPlan(from path: String, options: ConversionOptions = ConversionOptions()) throws -> ConversionPlan
    {
        try plan(exporter(path, options))
    }

    /// Writes a Megatron checkpoint as a Hugging Face directory.
    ///
    /// - Parameters:
    ///   - path: The checkpoint, or a directory with iterations, of which the newest is used.
    ///   - destination: The directory, written atomically.
    ///   - options: Types and other options; the layout is the checkpoint's.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    @discardableResult
    public func exportCheckpoint(
        from path: String,
        to destination: String,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        try exportCheckpoint(exportPlan(from: path, options: options), to: destination, options: options)
    }

    /// Checks before an export whether its directory can be written.
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
    ///   - destination: The directory, written atomically.
    ///   - options: Whether an existing destination is replaced, and the context.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
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

    /// The same as ``exportCheckpoint(from:to:options:)``, under the name of transformers.
    @discardableResult
    public func saveHF(
        _ path: String,
        to destination: String,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        try exportCheckpoint(from: path, to: destination, options: options)
    }

    /// The Hugging Face tensors of a checkpoint, read lazily one at a time.
    ///
    /// - Parameters:
    ///   - path: The checkpoint.
    ///   - options: Types and allowed missing tensors.
    /// - Returns: The tensors, not read yet.
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
                "\(checkpoint.path) has adapters but no model; 'bridge adapter export' writes them for PEFT, "
                    + "'bridge adapter merge' merges them into a model"
            )
        }
        let reference = try directory.map { try HuggingFaceReference($0) } ?? HuggingFaceReference(checkpoint)
        return Exporter(
            source: ExportSource(
                checkpoint,
                as: model.architecture,
                notes: try differences(from: checkpoint) + tokenizerNotes(checkpoint)
            ),
            model: model,
            reference: reference,
            options: options
        )
    }

    /// A note on an export without the files of a tokenizer, which another program's checkpoint may lack.
    private func tokenizerNotes(_ checkpoint: NativeCheckpoint) -> [String] {
        guard directory == nil, !checkpoint.carriesSource, checkpoint.tokenizerFiles.isEmpty else { return [] }
        return [
            "\(checkpoint.path) has no tokenizer, so the export has none; give the Hugging Face model whose tokenizer it "
                + "is with --hf-model"
        ]
    }

    /// A note on settings in which the model of this bridge's directory differs from the one that a checkpoint has with it.
    private func differences(from checkpoint: NativeCheckpoint) throws -> [String] {
        guard let directory, checkpoint.carriesSource, checkpoint.manifest.architecture == architecture else {
            return []
        }
        let saved = try FamilyModel(
            json: checkpoint.configuration,
            style: checkpoint.manifest.style,
            name: checkpoint.configurationName,
            catalog: catalog
        )
        let differences = model.differences(from: saved)
        guard !differences.isEmpty else { return [] }
        return [
            "\(directory.path) describes another model than \(checkpoint.configurationName), and its settings are written: "
                + differences.map { "\($0.field) \($0.own) instead of \($0.other)" }.joined(separator: ", ")
        ]
    }

    /// The exporter of parameters of this bridge's model in memory.
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

    /// A checkpoint; the open one if this bridge was made from it.
    func opened(_ path: String) throws -> NativeCheckpoint {
        if let checkpoint, checkpoint.path == (try? NativeCheckpoint.iterationPath(path)) { return checkpoint }
        return try Self.open(path, catalog: catalog)
    }

    /// A checkpoint with the description of its model, if a plugin knows it.
    static func open(
        _ path: String,
        isVerified: Bool = true,
        catalog: PluginCatalog,
        describedBy other: AutoBridge? = nil
    ) throws -> NativeCheckpoint {
        try NativeCheckpoint(path: path, isVerified: isVerified) { directory in
            if let own = try ModelDescription.read(directory, catalog: catalog) { return own }
            return other.map { bridge in
                ModelDescription(
                    architecture: bridge.architecture,
                    family: bridge.model.bridge.name,
                    configuration: bridge.model.configuration,
                    layout: .single,
                    writer: TorchDistDirectory.unknownWriter
                )
            }
        }
    }
}
