import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
import ModelSchema
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
        let parameters = try withoutPadding(model.map { try checkpoint.parameters(of: $0) } ?? checkpoint.parameters)
            .map { parameter in
                var parameter = parameter
                if let type = options.elementType { parameter.view = parameter.view.cast(to: type) }
                return parameter
            }
        // Megatron Bridge would add A and B to the weights that they were taken from.
        if options.container == .torchDist, parameters.contains(where: { TrainedNames.isStart($0.name) }) {
            throw BridgeError(
                .badArgument,
                "\(checkpoint.path) has adapters that start as parts of the weights (peft.init_lora_weights), which Megatron Bridge does "
                    + "not have; write plain ones with 'bridge adapter export', and these as torch_dist with 'bridge adapter import'"
            )
        }
        let layout = try NativeLayout(
            options.layout,
            layerCount: model?.provider.decoder.numLayers ?? (parameters.compactMap(\.layer).max() ?? -1) + 1,
            vocabularyMultiple: options.vocabularyMultiple
        )
        var manifest = checkpoint.manifest
        manifest.files = []
        if !checkpoint.carriesSource { manifest.style = .transformers }
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let run = CheckpointRun(checkpoint)
        let optimizer = Self.placed(try checkpoint.optimizerParameters(), like: parameters)
        let others =
            try run.sharedFiles.map { name in
                PlannedFile.copy(name: name, of: try CarriedFiles.open(name, in: checkpoint.path))
            } + checkpoint.describedSource()
        let notes = try checkpoint.sideFileNotes()
        let lines = parameters.map { ($0, [$0.name]) }
        func planner(_ container: CheckpointPlanner.Container) -> CheckpointPlanner {
            CheckpointPlanner(
                kind: .resharding,
                source: checkpoint.path,
                layout: layout,
                manifest: manifest,
                container: container
            )
        }
        switch options.container {
        case .native:
            // Without progress no run resumes, so the state of an optimizer would be of no use.
            let continued = optimizer.isEmpty ? [] : try run.continuedFiles()
            let isResumable = run.isOwn || checkpoint.container == .native || !continued.isEmpty
            let groups = continued.isEmpty ? nil : try run.groups(optimizer)
            return try planner(.native).plan(
                lines,
                optimizer: isResumable ? optimizer : [],
                ledger: ledger,
                notes: notes + (isResumable ? groups.map(Self.notes) ?? [] : checkpoint.notes),
                otherFiles: others + continued + settings(of: run, layout.layout)
            )
        case .torchDist:
            let groups = try run.groups(optimizer)
            let configuration = try model.map {
                MegatronRunConfiguration(
                    model: $0,
                    providerClass: providerClass,
                    layout: layout,
                    savesOptimizer: !optimizer.isEmpty,
                    recipe: try run.recipe()
                )
            }
            let megatron = try configuration.map { [PlannedFile.literal(name: RunConfiguration.name, try $0.text())] }
            let container = try TorchDistContainer(
                writers: options.writers,
                progress: run.progress(),
                groups: groups,
                writesIntegrity: options.writesIntegrity
            )
            return try planner(.torchDist(container)).plan(
                lines,
                optimizer: optimizer,
                ledger: ledger,
                notes: notes + (configuration?.notes ?? [])
                    + (optimizer.isEmpty ? checkpoint.notes : Self.notes(on: groups)),
                otherFiles: others.filter { $0.name != CheckpointRun.groupsName }
                    + (megatron ?? relabelledConfiguration(layout.layout))
                    + (run.isOwn ? run.settings(layout.layout, for: .torchDist) : [])
            )
        }
    }

    /// The parameters with the size of the vocabulary itself, which a native checkpoint stores.
    private func withoutPadding(_ parameters: [GlobalParameter]) throws -> [GlobalParameter] {
        guard options.container == .native, checkpoint.container == .torchDist, let model else { return parameters }
        let style = checkpoint.carriesSource ? checkpoint.manifest.style : .transformers
        let entries = Dictionary(try model.table(style).entries.map { ($0.megatron, $0) }) { first, _ in first }
        return parameters.map { parameter in
            var parameter = parameter
            if let entry = entries[parameter.name] { parameter.view = entry.withoutPadding(parameter.view) }
            return parameter
        }
    }

    /// Values of the optimizer, divided like their parameters and with as many rows.
    private static func placed(_ optimizer: [GlobalParameter], like parameters: [GlobalParameter]) -> [GlobalParameter]
    {
        let own = Dictionary(parameters.map { ($0.name, $0) }) { first, _ in first }
        return optimizer.map { value in
            // `optimizer.KIND.PARAMETER`
            let name = value.name.split(separator: ".", maxSplits: 2).last.map(String.init) ?? value.name
            guard var placed = own[name] else { return value }
            let height = placed.view.height
            (placed.name, placed.view) = (value.name, value.view)
            if placed.split == .vocabulary, height < value.view.height { placed.view = value.view.rows(0..<height) }
            return placed
        }
    }

    /// What the user has to know about the state of an optimizer in Megatron-Core's container.
    private static func notes(on groups: OptimizerGroups?) -> [String] {
        guard let groups else {
            return [
                "the checkpoint has the state of an optimizer without the groups of its parameters: Bridge resumes from the "
                    + "result, Megatron-Core loads its weights alone"
            ]
        }
        guard !groups.skipped.isEmpty else { return [] }
        return [
            "settings of the optimizer that are neither numbers nor texts are skipped: "
                + groups.skipped.joined(separator: ", ")
        ]
    }

    /// `run_config.yaml` of a native checkpoint.
    private func settings(of run: CheckpointRun, _ layout: RankLayout) throws -> [PlannedFile] {
        let own = try run.settings(layout, for: .native)
        guard own.isEmpty, checkpoint.container != .native, let model else { return own }
        return [.literal(name: RunConfiguration.name, try RunConfiguration.text(of: model, layout: layout))]
    }

    /// `run_config.yaml` with the sizes of the new layout; all other lines stay.
    private func relabelledConfiguration(_ layout: RankLayout) throws -> [PlannedFile] {
        let path = Files.join(checkpoint.path, RunConfiguration.name)
        guard Files.exists(path) else { return [] }
        let text = String(decoding: try Files.contents(of: path, limit: RunConfiguration.largestFile), as: UTF8.self)
        return [
            .literal(name: RunConfiguration.name, try RunConfiguration.relabelled(text, layout: layout, name: path))
        ]
    }
}
