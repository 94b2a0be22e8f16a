import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins
import ModelSchema

extension AutoBridge {
    /// The plan of GGUF files of this bridge's own weights, those of a Hugging Face directory.
    ///
    /// - Parameter options: The type of matrices, and tensors that may be missing.
    /// - Returns: The plan, which ``exportCheckpoint(_:to:options:)`` writes.
    /// - Throws: `BridgeError` for a bridge without weights, for tensors that are not accounted for, and for what llama.cpp cannot
    ///   compute with.
    public func ggufPlan(_ options: ConversionOptions) throws -> ConversionPlan {
        guard let directory else {
            throw BridgeError(
                .badArgument,
                "this bridge was made from a configuration alone and has no weights; use fromHF"
            )
        }
        let resolver = TensorResolver(directory, model, allowed: options.allowMissing)
        let (resolved, ledger) = try resolver.resolve(model.table(directory.style), source: directory.path)
        let source = ExportSource(
            name: directory.path,
            architecture: model.architecture,
            parameters: resolved.map { GlobalParameter($0.entry, $0.view) },
            ledger: ledger.json
        )
        return try ggufPlan(source, options)
    }

    /// The plan of an export, to a Hugging Face directory or to GGUF files.
    func plan(_ exporter: Exporter) throws -> ConversionPlan {
        guard exporter.options.writesGGUF else { return try exporter.plan() }
        return try ggufPlan(exporter.source, exporter.options)
    }

    private func ggufPlan(_ source: ExportSource, _ options: ConversionOptions) throws -> ConversionPlan {
        // The names of the tensors are those of transformers, whatever those of the source are.
        let reference = HuggingFaceReference(configuration: model.configuration, style: .transformers)
        let exporter = Exporter(source: source, model: model, reference: reference, options: options)
        let files = try model.processorFiles(directory: existingProcessorDirectory())
        return try GGUFExporter(exporter, type: options.ggufType, files: files).plan()
    }
}
