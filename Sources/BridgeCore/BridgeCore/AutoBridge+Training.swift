import Adapters
public import BridgeSupport
import CheckpointFormats
public import Conversion
import JSONTree
import ModelPlugins
import ModelSchema
import TensorFiles
import TensorRuntime

extension AutoBridge {
    /// Writes the state of a run as an iteration of a Megatron checkpoint.
    ///
    /// Without adapters it is a complete checkpoint that can be exported and resharded. The plan of a conversion
    /// writes it, with memory as its source.
    ///
    /// - Parameters:
    ///   - state: Parameters and optimizer state, which must not change until this returns.
    ///   - path: The directory of the run's checkpoints.
    ///   - iteration: The number of completed steps.
    ///   - files: Additional files, by their names in the iteration's directory.
    ///   - context: Threads, progress and cancellation.
    /// - Returns: The report of what was written.
    /// - Throws: `BridgeError`; the checkpoints in the directory are then unchanged.
    @discardableResult
    public func save(
        _ state: TrainingState,
        to path: String,
        iteration: Int,
        files: [(name: String, bytes: [UInt8])],
        context: RunContext = RunContext()
    ) throws -> ConversionReport {
        let names = TrainedNames(try model.table(style))
        let parameters = try names.parameters(state.parameters.map { ($0.name, $0.tensor) })
        let kinds = Dictionary(grouping: state.moments, by: \.kind).sorted { $0.key < $1.key }
        let moments = try kinds.flatMap { kind, all in
            try names.parameters(all.map { ($0.parameter, $0.tensor) }).map { parameter in
                var parameter = parameter
                parameter.name = "optimizer.\(kind).\(parameter.name)"
                return parameter
            }
        }
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let manifest = NativeManifest(
            architecture: model.architecture,
            family: model.bridge.name,
            plugin: catalog.pluginName(for: model.architecture),
            style: style,
            ledger: ledger.json,
            holdsAdapter: state.adapters != nil
        )
        let layout = try NativeLayout(.single, layerCount: model.provider.decoder.numLayers)
        let plan = try NativePlanner(kind: .saving, source: "memory", layout: layout, manifest: manifest).plan(
            parameters.map { ($0, []) },
            optimizer: moments,
            ledger: ledger,
            otherFiles: sideFiles() + adapterConfiguration(state) + files.map { .literal(name: $0.name, $0.bytes) }
        )
        return try NativeDestination(path: path, iteration: iteration, overwrite: true, continuesRun: true).write(
            plan,
            context: context
        )
    }

    /// Loads the tensors of a run that ``save(_:to:iteration:files:context:)`` wrote.
    ///
    /// - Parameters:
    ///   - state: Tensors that own their memory, of the saved shapes; types may differ.
    ///   - path: The directory of an iteration.
    /// - Throws: `BridgeError` for missing tensors and for other shapes.
    public func restore(_ state: TrainingState, from path: String) throws {
        let checkpoint = try NativeCheckpoint(path: path)
        guard checkpoint.manifest.holdsAdapter == (state.adapters != nil) else {
            throw BridgeError(
                .badArgument,
                "\(path) holds \(checkpoint.manifest.holdsAdapter ? "adapters" : "a whole model"), which this run does not "
                    + "train; use the recipe that it was made with, or another checkpoint.save"
            )
        }
        let names = TrainedNames(try model.table(style))
        let stored = try checkpoint.parameters + checkpoint.optimizerParameters()
        let found = Dictionary(stored.map { ($0.name, $0.view) }) { first, _ in first }
        let reader = TensorReader()
        func fill(_ pieces: [(name: String, tensor: Tensor)], prefix: String) throws {
            for (whole, tensors) in Self.grouped(pieces) {
                guard let view = found[prefix + whole], let location = names.location(of: whole) else {
                    throw BridgeError(
                        .corruptInput,
                        "\(path) has no \(prefix)\(whole), which this run trains; resume with the recipe of the checkpoint"
                    )
                }
                let matrices = tensors.count == 1 ? [view] : location.transform.toLayers(view)
                for (tensor, matrix) in zip(tensors, matrices) {
                    guard matrix.shape == tensor.shape else {
                        throw BridgeError(
                            .corruptInput,
                            "\(path): \(prefix)\(whole) has the shape \(view.shape), which is not that of this run's parameters; "
                                + "resume with the recipe of the checkpoint"
                        )
                    }
                    try reader.read(matrix, into: tensor)
                }
            }
        }
        let filled = Set(state.parameters.map { TrainedNames.whole($0.name) })
        // In a checkpoint with adapters every parameter of the model was trained.
        if let lost = checkpoint.parameters.first(where: {
            (TrainedNames.isAdapter($0.name) || state.adapters != nil) && !filled.contains($0.name)
        }) {
            throw BridgeError(
                .badArgument,
                "\(path) has \(lost.name), which this run does not train; resume with the recipe of the checkpoint"
            )
        }
        try fill(state.parameters.map { ($0.name, $0.tensor) }, prefix: "")
        for (kind, moments) in Dictionary(grouping: state.moments, by: \.kind) {
            try fill(moments.map { ($0.parameter, $0.tensor) }, prefix: "optimizer.\(kind).")
        }
    }

    /// The tensors of the parts of each parameter, in order.
    private static func grouped(_ pieces: [(name: String, tensor: Tensor)]) -> [(whole: String, tensors: [Tensor])] {
        var positions: [String: Int] = [:]
        var groups: [(whole: String, tensors: [Tensor])] = []
        for (name, tensor) in pieces {
            let whole = TrainedNames.whole(name)
            if let location = positions[whole] {
                groups[location].tensors.append(tensor)
            } else {
                positions[whole] = groups.count
                groups.append((whole, [tensor]))
            }
        }
        return groups
    }

    /// The hyperparameters of adapters.
    private func adapterConfiguration(_ state: TrainingState) throws -> [PlannedFile] {
        guard let adapters = state.adapters else { return [] }
        let layers = adapters.modules.flatMap { module in
            module.layers.compactMap { layer in
                layer.adapter.map { adapter in
                    // Patterns match the names of matrices, after which the parts of a fused module differ.
                    let name = adapter.input.weight.name
                    return (name: String(name.dropLast(".linear_in.weight".count)), shape: adapter.shape)
                }
            }
        }
        let configuration = try PEFTConfiguration(adapters, layers: layers, baseModel: modelPath)
        let json = configuration.json(modules: adapters.modules.map(\.name), taskType: nil)
        return [.literal(name: AdapterFiles.configuration, json.text())]
    }

    /// The side files of the model, from its source.
    private func sideFiles() throws -> [PlannedFile] {
        var plannedFiles: [PlannedFile] = []
        if let directory {
            plannedFiles = try Importer.sideFiles(of: directory)
        } else if let processorDirectory {
            let root = Files.parent(of: processorDirectory)
            plannedFiles = try checkpointSideFiles.map {
                PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: root))
            }
        }
        guard isReconfigured else { return plannedFiles }
        let name = Files.join(NativeCheckpoint.huggingFaceDirectory, style.configurationName)
        plannedFiles.removeAll { $0.name == name }
        let source = directory?.configuration ?? JSON.object(JSONObject())
        let json =
            style == .consolidated
            ? model.bridge.parameters(configuration: model.configuration, base: source)
            : model.configuration
        return plannedFiles + [.literal(name: name, json.text())]
    }

    /// The naming style of the Hugging Face side.
    private var style: HuggingFaceDirectory.Style { directory?.style ?? checkpointStyle }
}
