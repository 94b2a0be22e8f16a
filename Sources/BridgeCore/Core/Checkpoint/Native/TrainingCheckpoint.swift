import JSONTree
public import TensorRuntime

/// What a training run puts into a checkpoint, all of it in memory: parameters, and what the optimizer keeps for them.
public struct TrainingState: Sendable {
    /// Numbers that the optimizer keeps for a parameter, in the parameter's shape.
    public struct Moment: Sendable {
        /// What they are: `main`, `exp_avg`, `exp_avg_sq` or `momentum`.
        public var kind: String
        /// Whose they are, by its name in the model.
        public var parameter: String
        /// The numbers.
        public var tensor: Tensor

        /// Numbers of a parameter.
        public init(kind: String, parameter: String, tensor: Tensor) {
            self.kind = kind
            self.parameter = parameter
            self.tensor = tensor
        }
    }

    /// The parameters: those of the model, or those of its adapters alone.
    public var parameters: [Parameter]
    /// The adapters whose parameters are among them, without the model's own; nil for a whole model.
    public var adapters: AdapterSet?
    /// What the optimizer keeps.
    public var moments: [Moment]

    /// A state.
    public init(parameters: [Parameter], adapters: AdapterSet? = nil, moments: [Moment]) {
        self.parameters = parameters
        self.adapters = adapters
        self.moments = moments
    }
}

/// The memory of a tensor, for a plan to read.
private final class TensorBytes: ByteStorage {
    let name: String
    let tensor: Tensor

    init(name: String, tensor: Tensor) {
        self.name = name
        self.tensor = tensor.detached.contiguous()
    }

    var byteCount: Int { tensor.count * tensor.elementType.byteCount }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        guard offset >= 0, offset + buffer.count <= byteCount, !buffer.isEmpty else { return }
        buffer.copyMemory(from: UnsafeRawBufferPointer(start: tensor.pointer + offset, count: buffer.count))
    }
}

/// Where the parts of parameters and adapters belong in a Megatron checkpoint.
struct TrainedNames {
    private let entries: [String: ParameterTable.Entry]

    init(_ table: ParameterTable) {
        entries = Dictionary(table.entries.map { ($0.megatron, $0) }) { first, _ in first }
    }

    /// A parameter's name without the number of its piece: `a.weight[1]` is part of `a.weight`.
    static func whole(_ name: String) -> String { String(name.prefix { $0 != "[" }) }

    /// The names of an adapter's parameters, behind the module's.
    private static let adapterMark = ".adapter."

    /// Whether a parameter is an adapter's.
    static func isAdapter(_ name: String) -> Bool { name.contains(adapterMark) }

    /// How the matrices of a parameter make Megatron's, and where that lies.
    struct Place {
        var transform: any ParameterTransform
        var split: SplitRule
        var stage: ParameterMapping.Stage
        var layer: Int?
        var parts: Int?

        init(_ entry: ParameterTable.Entry) {
            transform = entry.mapping.transform
            split = entry.mapping.split
            stage = entry.mapping.stage
            layer = entry.layer
            parts = entry.mapping.parts
        }
    }

    /// The place of a parameter of the model or of an adapter; nil for one that the model does not have.
    func place(of whole: String) -> Place? {
        guard let mark = whole.firstRange(of: Self.adapterMark) else { return entries[whole].map(Place.init) }
        guard var place = entries["\(whole[..<mark.lowerBound]).weight"].map(Place.init) else { return nil }
        let own = whole[mark.upperBound...]
        let isWholeModule = !own.hasPrefix("adapter_")
        let followsRows = own.hasSuffix("linear_out.weight") || own.hasSuffix("weight_magnitude")
        if !isWholeModule || !followsRows { place.transform = Identity() }
        if !isWholeModule { (place.split, place.parts) = (.replicated, nil) }
        switch place.split {
        case .row where followsRows: (place.split, place.parts) = (.replicated, nil)
        case .column where !followsRows, .gatedColumn where !followsRows:
            (place.split, place.parts) = (.replicated, nil)
        default: break
        }
        return place
    }

    /// Parameters as Megatron has them, put together from the tensors of their pieces.
    ///
    /// - Throws: `BridgeError` for a name that the model does not have.
    func parameters(_ pieces: [(name: String, tensor: Tensor)]) throws -> [GlobalParameter] {
        var names: [String] = []
        var views: [String: [TensorView]] = [:]
        for (name, tensor) in pieces {
            let whole = Self.whole(name)
            if views[whole] == nil { names.append(whole) }
            let stored = StoredTensor(
                name: name,
                elementType: tensor.elementType,
                shape: tensor.shape,
                storage: TensorBytes(name: name, tensor: tensor),
                offset: 0
            )
            views[whole, default: []].append(TensorView(stored))
        }
        return try names.map { name in
            guard let place = place(of: name), let views = views[name] else {
                throw BridgeError(.badPlugin, "the model has a parameter \(name) that its parameter table has not")
            }
            return GlobalParameter(
                name: name,
                view: place.transform.fromLayers(views),
                split: place.split,
                stage: place.stage,
                layer: place.layer,
                parts: place.parts
            )
        }
    }
}

extension AutoBridge {
    /// Writes the state of a run as an iteration of a Megatron checkpoint.
    ///
    /// Without adapters it is a checkpoint like any other: it converts, reshards and exports. The plan of a conversion
    /// does the work, with memory as its source.
    ///
    /// - Parameters:
    ///   - state: Parameters and the optimizer's numbers, which nobody may change until this returns.
    ///   - path: The folder of the run's checkpoints.
    ///   - iteration: How many steps are done.
    ///   - files: More files, by their names in the iteration's folder.
    ///   - context: Threads, progress and cancellation.
    /// - Returns: What was written.
    /// - Throws: `BridgeError`; the checkpoints in the folder are then as they were.
    @discardableResult
    public func save(
        _ state: TrainingState,
        to path: String,
        iteration: Int,
        files: [(name: String, bytes: [UInt8])],
        context: RunContext = RunContext()
    ) throws -> ConversionReport {
        let names = TrainedNames(try model.table(style))
        let layout = NativeLayout(
            layout: RankLayout(),
            layerCount: model.provider.decoder.numLayers,
            vocabularyMultiple: nil
        )
        let parameters = try names.parameters(state.parameters.map { ($0.name, $0.tensor) })
        let (weights, lines) = try layout.spread(parameters)
        let kinds = Dictionary(grouping: state.moments, by: \.kind).sorted { $0.key < $1.key }
        let moments = try kinds.flatMap { kind, all in
            try names.parameters(all.map { ($0.parameter, $0.tensor) }).map { parameter in
                var parameter = parameter
                parameter.name = "optimizer.\(kind).\(parameter.name)"
                return parameter
            }
        }
        let (optimizer, optimizerLines) = try moments.isEmpty ? ([], []) : layout.spread(moments, kind: "optimizer")
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let spread = RankLayout(stageLayers: RankLayout().layersPerStage(of: model.provider.decoder.numLayers))
        var manifest = NativeManifest(
            architecture: model.architecture,
            family: model.bridge.name,
            plugin: catalog.pluginName(for: model.architecture),
            style: style,
            layout: spread,
            ledger: ledger.json,
            parameters: lines,
            files: []
        )
        manifest.optimizer = optimizerLines
        manifest.holdsAdapter = state.adapters != nil
        let sealed = manifest
        let plan = ConversionPlan(
            kind: .saving,
            source: "memory",
            architecture: model.architecture,
            layout: RankLayout(),
            ledger: ledger,
            lines: parameters.map {
                .init(name: $0.name, sources: [], shape: $0.view.shape, elementType: $0.view.elementType, notes: [])
            },
            notes: [],
            images: weights + optimizer + (try sideImages()) + adapterConfiguration(state)
                + files.map { .literal(name: $0.name, $0.bytes) },
            seal: { sealed.sealed($0) }
        )
        return try NativeDestination(path: path, iteration: iteration, overwrite: true).write(plan, context: context)
    }

    /// Fills the tensors of a run with what ``save(_:to:iteration:files:context:)`` wrote.
    ///
    /// - Parameters:
    ///   - state: Tensors of their own memory, of the shapes that were saved; types may differ.
    ///   - path: The folder of an iteration.
    /// - Throws: `BridgeError` when the checkpoint lacks something, or has it in another shape.
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
                guard let view = found[prefix + whole], let place = names.place(of: whole) else {
                    throw BridgeError(
                        .corruptInput,
                        "\(path) has no \(prefix)\(whole), which this run trains; the recipe was another one"
                    )
                }
                let matrices = tensors.count == 1 ? [view] : place.transform.toLayers(view)
                for (tensor, matrix) in zip(tensors, matrices) {
                    guard matrix.shape == tensor.shape else {
                        throw BridgeError(
                            .corruptInput,
                            "\(path): \(prefix)\(whole) has the shape \(view.shape), which does not fit this run; "
                                + "the recipe was another one"
                        )
                    }
                    try reader.read(matrix, into: tensor)
                }
            }
        }
        let filled = Set(state.parameters.map { TrainedNames.whole($0.name) })
        if let lost = checkpoint.parameters.first(where: {
            TrainedNames.isAdapter($0.name) && !filled.contains($0.name)
        }) {
            throw BridgeError(
                .badArgument,
                "\(path) has \(lost.name), which this run does not train; the recipe was another one"
            )
        }
        try fill(state.parameters.map { ($0.name, $0.tensor) }, prefix: "")
        for (kind, moments) in Dictionary(grouping: state.moments, by: \.kind) {
            try fill(moments.map { ($0.parameter, $0.tensor) }, prefix: "optimizer.\(kind).")
        }
    }

    /// The tensors of the pieces of each parameter, in their order.
    private static func grouped(_ pieces: [(name: String, tensor: Tensor)]) -> [(whole: String, tensors: [Tensor])] {
        var places: [String: Int] = [:]
        var groups: [(whole: String, tensors: [Tensor])] = []
        for (name, tensor) in pieces {
            let whole = TrainedNames.whole(name)
            if let place = places[whole] {
                groups[place].tensors.append(tensor)
            } else {
                places[whole] = groups.count
                groups.append((whole, [tensor]))
            }
        }
        return groups
    }

    /// Puts the adapters of a checkpoint, or of a folder of PEFT's, on a model, with what was trained beside them.
    ///
    /// - Parameters:
    ///   - path: An iteration's folder, a folder with iterations, or one with `adapter_config.json`.
    ///   - model: A model of this bridge.
    ///   - elementType: The type of the matrices; nil for that of the weights, without which nothing can be computed.
    /// - Returns: The adapters.
    /// - Throws: `BridgeError` when there are none, or they are another model's.
    public func loadAdapters(
        from path: String,
        on model: any CausalModel,
        elementType: ElementType? = nil
    ) throws -> AdapterSet {
        if Files.exists(Files.join(path, PEFTConfiguration.fileName)),
            !Files.exists(Files.join(path, NativeCheckpoint.manifestName))
        {
            return try importAdapter(from: path, on: model, elementType: elementType)
        }
        let checkpoint = try NativeCheckpoint(path: path)
        guard checkpoint.manifest.holdsAdapter else {
            throw BridgeError(.badArgument, "\(path) holds a whole model and no adapter; convert it as it is")
        }
        let name = Files.join(checkpoint.path, PEFTConfiguration.fileName)
        let configuration = try PEFTConfiguration(json: JSON(contentsOf: name), name: name)
        let names = Set(checkpoint.parameters.map(\.name))
        let isCanonical = names.contains { $0.contains(".adapter.adapter_") }
        var section = configuration.section(isCanonical: isCanonical)
        // Parts of the model that the run has trained in full beside the adapters.
        let parts = [
            ("language_model", model.decoder.parameters), ("vision_tower", model.vision?.towerParameters ?? []),
            ("multi_modal_projector", model.vision?.projectorParameters ?? []),
        ].map { ($0, $1.filter { names.contains(TrainedNames.whole($0.name)) }) }.filter { !$1.isEmpty }
        section.modulesToSave = parts.map(\.0)
        let adapters = try AdapterSet(section, on: model, named: names, elementType)
        let trained = parts.flatMap(\.1)
        for parameter in trained { parameter.makeWritable() }
        let state = TrainingState(parameters: adapters.parameters + trained, adapters: adapters, moments: [])
        try restore(state, from: checkpoint.path)
        return adapters
    }

    /// The numbers that adapters were made with, beside them.
    private func adapterConfiguration(_ state: TrainingState) -> [FileImage] {
        guard let adapters = state.adapters else { return [] }
        let configuration = PEFTConfiguration(adapters.configuration, baseModel: folder?.path)
        let json = configuration.json(modules: adapters.modules.map(\.name), taskType: nil)
        return [.literal(name: PEFTConfiguration.fileName, json.text())]
    }

    /// The files beside the weights, from wherever the model came from.
    private func sideImages() throws -> [FileImage] {
        if let folder { return try Importer.sideImages(of: folder) }
        guard let processorFolder else { return [] }
        let root = Files.parent(of: processorFolder)
        return try checkpointSideFiles.map {
            FileImage.copy(name: $0, of: try FileStorage(path: Files.join(root, $0)))
        }
    }

    /// Whose names the Hugging Face side has.
    private var style: HuggingFaceFolder.Style { folder?.style ?? checkpointStyle }
}
