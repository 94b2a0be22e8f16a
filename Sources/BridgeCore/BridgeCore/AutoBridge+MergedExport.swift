public import Adapters
public import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins
import ModelSchema
public import Models
import Recipes
public import TensorRuntime

extension AutoBridge {
    /// Whether a checkpoint has adapters without their base model.
    public static func holdsAdapter(_ path: String) -> Bool {
        guard let directory = try? NativeCheckpoint.iterationPath(path) else { return false }
        return NativeCheckpoint.holdsAdapter(directory)
    }

    /// Writes the model of a checkpoint with adapters as a Hugging Face directory, with the adapters merged.
    ///
    /// The model is this bridge's if it has weights, otherwise the model that the run started from.
    ///
    /// - Parameters:
    ///   - path: The checkpoint with adapters.
    ///   - destination: The directory, written atomically.
    ///   - engine: The engine that computes.
    ///   - options: Types and other options.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    @discardableResult
    public func exportMerged(
        from path: String,
        to destination: String,
        on engine: any TensorEngine,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        let directory = try NativeCheckpoint.iterationPath(path)
        let (base, weights) = try base(of: directory)
        try Destination.check(destination, against: [path, base.directory?.path, weights])
        try Self.checkExport(to: destination, overwrite: options.overwrite)
        var options = options
        options.context.sources.append(SourceFiles([directory, base.directory?.path, weights]))
        let model = try base.toModel(weights: weights, on: engine)
        let adapters = try base.loadAdapters(from: directory, on: model)
        return try base.exportMerged(adapters, on: model, to: destination, options: options)
    }

    /// Writes a model with adapters as a Hugging Face directory, with the adapters merged.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - model: The model of the adapters.
    ///   - destination: The directory, written atomically.
    ///   - options: Types and other options.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    @discardableResult
    public func exportMerged(
        _ adapters: AdapterSet,
        on model: any CausalModel,
        to destination: String,
        options: ConversionOptions = ConversionOptions()
    ) throws -> ConversionReport {
        try Destination.check(destination, against: [directory?.path])
        try Self.checkExport(to: destination, overwrite: options.overwrite)
        let parameters = try adapters.merged(into: model, cancellation: options.context.cancellation)
        let state = TrainingState(parameters: parameters, moments: [])
        let merged = try merged(model)
        var options = options
        options.dropsQuantisation = true
        let plan = try merged.plan(merged.exporter(state, options))
        var report = try merged.exportCheckpoint(plan, to: destination, options: options)
        report.notes += adapters.notes
        return report
    }

    /// Writes a model with adapters as an iteration of a Megatron checkpoint, with the adapters merged.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - model: The model of the adapters.
    ///   - path: The directory of the checkpoint.
    ///   - context: Threads, progress and cancellation.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    public func saveMerged(
        _ adapters: AdapterSet,
        on model: any CausalModel,
        to path: String,
        context: RunContext = RunContext()
    ) throws {
        try Destination.check(path, against: [directory?.path])
        let parameters = try adapters.merged(into: model, cancellation: context.cancellation)
        let state = TrainingState(parameters: parameters, moments: [])
        try merged(model).save(state, to: path, iteration: 0, files: [], context: context)
    }

    /// The bridge of a model whose adapters resized its vocabulary or untied its output layer.
    private func merged(_ model: any CausalModel) throws -> AutoBridge {
        let vocabSize = model.decoder.embedding.tensor.shape[0]
        let own = self.model.provider.decoder
        let isUntied = model.decoder.wasTied && !model.decoder.isTied
        guard vocabSize != own.vocabSize || isUntied else { return self }
        let isTied = own.shareEmbeddingsAndOutputWeights && !isUntied
        return AutoBridge(self, model: try self.model.with(vocabSize: vocabSize, isTied: isTied, catalog: catalog))
    }

    /// The bridge of the base model of adapters, and the checkpoint with its weights if it is a checkpoint.
    private func base(of directory: String) throws -> (AutoBridge, String?) {
        if self.directory != nil { return (self, nil) }
        let name = RunConfiguration.path(in: directory)
        let found = try? Recipe(
            yaml: String(decoding: Files.contents(of: name, limit: 16 << 20), as: UTF8.self),
            name: name
        ).checkpoint.pretrainedCheckpoint
        guard let start = found, !start.isEmpty, Files.exists(start) || HubRepository(start) != nil else {
            throw BridgeError(
                .badArgument,
                "\(directory) has adapters only, and their base model"
                    + (found.map { $0.isEmpty ? "" : ", \($0)," } ?? "") + " was not found; name it with --hf-model"
            )
        }
        let base = try AutoBridge.fromAny(start, catalog: catalog)
        return (base, base.directory == nil ? start : nil)
    }
}
