import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
import TensorFiles
import TensorRuntime

/// Plans the conversion from one layout of a native checkpoint to another.
///
/// Needs no plugin where the manifest has all information: that of a native checkpoint, for another one. The checkpoint of
/// a run keeps its optimizer's state and its other files, so that the run can resume from the result.
package struct Resharder {
    let checkpoint: NativeCheckpoint
    let options: ConversionOptions
    /// The model and the class that builds it, for a container whose files describe them in their own way.
    let model: FamilyModel?
    let providerClass: ProviderClass?

    package init(
        checkpoint: NativeCheckpoint,
        options: ConversionOptions,
        model: FamilyModel? = nil,
        providerClass: ProviderClass? = nil
    ) {
        self.checkpoint = checkpoint
        self.options = options
        self.model = model
        self.providerClass = providerClass
    }

    /// The plan.
    ///
    /// - Throws: `BridgeError` for a layout that does not fit.
    package func plan() throws -> ConversionPlan {
        guard model != nil || checkpoint.container == options.container && checkpoint.carriesSource else {
            throw BridgeError(
                .badArgument,
                "\(checkpoint.path) needs the plugin of its model to be written in another container"
            )
        }
        let parameters = checkpoint.parameters.map { parameter in
            var parameter = parameter
            if let type = options.elementType { parameter.view = parameter.view.cast(to: type) }
            return parameter
        }
        let layout = try NativeLayout(
            options.layout,
            layerCount: (parameters.compactMap(\.layer).max() ?? -1) + 1,
            vocabularyMultiple: options.vocabularyMultiple
        )
        var manifest = checkpoint.manifest
        manifest.files = []
        if !checkpoint.carriesSource { manifest.style = .transformers }
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let optimizer = try checkpoint.optimizerParameters()
        let others = try otherFiles.map {
            PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: checkpoint.path))
        }
        let notes = try checkpoint.sideFileNotes()
        let lines = parameters.map { ($0, [$0.name]) }
        guard options.container == .native else {
            let run = model.map {
                MegatronRunConfiguration(model: $0, providerClass: providerClass, layout: layout)
            }
            let text = try run.map { [PlannedFile.literal(name: RunConfiguration.name, try $0.text())] }
            return try TorchDistPlanner(
                kind: .resharding,
                source: checkpoint.path,
                layout: layout,
                manifest: manifest,
                writers: options.writers,
                progress: progress()
            ).plan(
                lines,
                optimizer: optimizer,
                ledger: ledger,
                notes: notes + (run?.notes ?? []) + (optimizer.isEmpty ? checkpoint.notes : [Self.optimizerNote]),
                otherFiles: others + carried() + (text ?? runConfiguration(layout.layout))
            )
        }
        return try NativePlanner(kind: .resharding, source: checkpoint.path, layout: layout, manifest: manifest).plan(
            lines,
            optimizer: checkpoint.container == .native ? optimizer : [],
            ledger: ledger,
            notes: notes + checkpoint.notes,
            otherFiles: others + carried() + ownRunConfiguration(layout.layout)
        )
    }

    /// The files that both checkpoints have: all but those of the container.
    private var otherFiles: [String] {
        let names = checkpoint.manifest.files.map(\.name)
        guard checkpoint.container == .native else {
            let source = "\(NativeCheckpoint.huggingFaceDirectory)/"
            return names.filter { $0.hasPrefix(source) || $0 == AdapterFiles.configuration }
        }
        let lines = checkpoint.manifest.parameters + checkpoint.manifest.optimizer
        // Progress is stored in the container's own way, and its run_config.yaml has no recipe to compare with.
        let own = Set(lines.flatMap(\.chunks).map(\.file)).union([RunConfiguration.name])
            .union(options.container == .torchDist ? [Self.progressName] : [])
        return names.filter { !own.contains($0) }
    }

    /// The file of a training run's own progress.
    private static let progressName = "train_state.json"
    private static let optimizerNote =
        "the optimizer's state is written under the names of fully_reshardable, without the groups of parameters of an optimizer: "
        + "Bridge resumes from it, Megatron-Core loads the weights alone"

    /// The progress of the run that the checkpoint is of.
    private func progress() throws -> TrainStateFile {
        let name = Files.join(checkpoint.path, Self.progressName)
        if Files.exists(name) {
            let reader = JSONReader(try JSON(contentsOf: name, limit: 1 << 20), name: name)
            return TrainStateFile(
                step: try reader.integer("iteration"),
                consumedSamples: try reader.integer("consumed_samples")
            )
        }
        if let directory = checkpoint.torchDist, let found = try TrainStateFile.read(directory) { return found }
        let iteration = NativeCheckpoint.iteration(inName: Files.name(of: checkpoint.path)) ?? 0
        return TrainStateFile(step: iteration, consumedSamples: 0)
    }

    /// What stands for the files of a Hugging Face directory where the checkpoint has none: its configuration, as it is
    /// described, and the files of its tokenizer.
    private func carried() throws -> [PlannedFile] {
        guard !checkpoint.carriesSource else { return [] }
        let name = Files.join(NativeCheckpoint.huggingFaceDirectory, checkpoint.manifest.style.configurationName)
        return try [.literal(name: name, checkpoint.configuration.text())]
            + checkpoint.tokenizerFiles.map {
                .copy(
                    name: Files.join(NativeCheckpoint.huggingFaceDirectory, Files.name(of: $0)),
                    of: try CarriedFiles.open($0, in: checkpoint.path)
                )
            }
    }

    /// `run_config.yaml` of a native checkpoint.
    private func ownRunConfiguration(_ layout: RankLayout) throws -> [PlannedFile] {
        guard checkpoint.container != .native, let model else { return try runConfiguration(layout) }
        return [.literal(name: RunConfiguration.name, try RunConfiguration.text(of: model, layout: layout))]
    }

    /// `run_config.yaml` with the sizes of the new layout; all other lines stay.
    private func runConfiguration(_ layout: RankLayout) throws -> [PlannedFile] {
        let path = Files.join(checkpoint.path, RunConfiguration.name)
        guard Files.exists(path) else { return [] }
        let text = String(decoding: try Files.contents(of: path, limit: 16 << 20), as: UTF8.self)
        return [
            .literal(name: RunConfiguration.name, try RunConfiguration.relabelled(text, layout: layout, name: path))
        ]
    }
}
