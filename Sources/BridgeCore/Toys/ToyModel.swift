public import BridgeSupport
import CheckpointFormats
public import Conversion
public import JSONTree
public import ModelPlugins
import ModelSchema
import TensorFiles
public import TensorRuntime

/// A model of a known family with random weights, complete with tokenizer and all, made without any network.
///
/// ```swift
/// let family = try PluginCatalog.standard().bridges[0].name
/// let toy = try ToyModel(family: family, options: .init(seed: 7))
/// try toy.write(to: "toy")
/// ```
///
/// The same options give the same bytes on every machine, whatever the number of threads.
public struct ToyModel: Sendable {
    /// The options of a toy.
    public struct Options: Sendable {
        /// The seed of the random values.
        public var seed: UInt64
        /// Decoder layers; nil for those of the configuration.
        public var layers: Int?
        /// Width of the residual stream; nil for that of the configuration.
        public var hiddenSize: Int?
        /// The type of the weights; nil for that of the configuration.
        public var elementType: ElementType?
        /// A published size such as `3b`, whose real dimensions are used; nil for a tiny model.
        public var realSize: String?

        /// Options; without arguments the family's tiny model with seed 0.
        public init(
            seed: UInt64 = 0,
            layers: Int? = nil,
            hiddenSize: Int? = nil,
            elementType: ElementType? = nil,
            realSize: String? = nil
        ) {
            self.seed = seed
            self.layers = layers
            self.hiddenSize = hiddenSize
            self.elementType = elementType
            self.realSize = realSize
        }
    }

    /// The family's name.
    public let family: String
    /// The options.
    public let options: Options
    /// The content of `config.json`.
    public let configuration: JSON
    /// The number of elements of all tensors.
    public let parameterCount: Int

    private let recipe: ToyRecipe
    private let shards: ToyShards

    /// Works out a toy; nothing is written.
    ///
    /// - Parameters:
    ///   - family: The family's name, such as `bridge models` lists it.
    ///   - options: Seed and sizes.
    ///   - catalog: The families to choose from; without one, the plugins in the directory of the core's library.
    /// - Throws: `BridgeError` for a family or size that is not known, and for sizes that do not fit together.
    public init(family: String, options: Options = Options(), catalog: PluginCatalog? = nil) throws {
        let catalog = try catalog ?? .standard()
        guard let bridge = catalog.bridges.first(where: { $0.name == family }) else {
            let known = catalog.bridges.map(\.name).sorted()
            let list = known.isEmpty ? "no plugin is loaded" : "the families are \(known.joined(separator: ", "))"
            let advice = NearestName.first(of: family, among: known).map { ", did you mean \($0)?" } ?? "; \(list)"
            throw BridgeError(.badArgument, "there is no family \(family)\(advice)")
        }
        let recipe = bridge.toy
        var configuration = try Self.configuration(of: recipe, family, options)
        let name = "the configuration of the toy"
        let model = try FamilyModel(json: configuration, style: .transformers, name: name, catalog: catalog)
        let elementType = options.elementType ?? model.provider.elementType ?? .bfloat16
        configuration = model.encoded(elementType: elementType, into: configuration)

        let keyMapping = bridge.keyMappings.first { $0.name == recipe.keyMapping }
        if let wanted = recipe.keyMapping, keyMapping == nil {
            throw BridgeError(
                .badPlugin,
                "the toy of \(family) wants the keyMapping \(wanted), which the family has not"
            )
        }
        var tensors: [StoredTensor] = []
        for entry in try model.table(.transformers).entries where entry.mapping.sharedWith == nil {
            for (name, shape) in zip(entry.huggingFace, entry.shapes) {
                let name = keyMapping?.renamed(name) ?? name
                let values = recipe.values.first { $0.names.matches(name) }?.values ?? .standard(shape)
                let count = shape.reduce(1, *)
                let storage = try RandomStorage(
                    name: name,
                    count: count,
                    elementType: elementType,
                    values: values,
                    seed: options.seed
                )
                tensors.append(
                    StoredTensor(name: name, elementType: elementType, shape: shape, storage: storage, offset: 0)
                )
            }
        }
        self.family = family
        self.options = options
        self.configuration = configuration
        self.recipe = recipe
        parameterCount = tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        shards = ToyShards(tensors)
    }

    private static func configuration(of recipe: ToyRecipe, _ family: String, _ options: Options) throws -> JSON {
        var configuration = recipe.tiny
        if let size = options.realSize {
            guard let found = recipe.realSizes.first(where: { $0.name == size }) else {
                let known = recipe.realSizes.map(\.name).joined(separator: ", ")
                throw BridgeError(
                    .badArgument,
                    "\(family) is not published in the size \(size); its sizes are \(known.isEmpty ? "(none)" : known)"
                )
            }
            configuration = found.configuration
        }
        if let layers = options.layers {
            guard layers > 0 else { throw BridgeError(.badArgument, "a model of \(layers) layers cannot be made") }
            configuration.set(JSON(layers), at: recipe.layersPath)
        }
        if let hidden = options.hiddenSize {
            guard hidden > 0 else { throw BridgeError(.badArgument, "a hidden size of \(hidden) cannot be") }
            configuration.set(JSON(hidden), at: recipe.hiddenPath)
            if let divisor = recipe.hiddenDivisor(configuration), divisor.value > 0, hidden % divisor.value != 0 {
                let near = max(1, (hidden + divisor.value / 2) / divisor.value) * divisor.value
                throw BridgeError(
                    .badArgument,
                    "a hidden size of \(hidden) is not a multiple of \(divisor.value), \(divisor.reason); "
                        + "\(near) is one"
                )
            }
        }
        return configuration
    }

    /// The number of tensors.
    public var tensorCount: Int { shards.shards.reduce(0) { $0 + $1.tensors.count } }

    /// The bytes of all tensors together.
    public var byteCount: Int { shards.shards.reduce(0) { $1.tensors.reduce($0) { $0 + $1.byteCount } } }

    /// The tensors' names and shapes, in the order of the files.
    public var tensors: [(name: String, shape: [Int])] {
        shards.shards.flatMap { $0.tensors.map { ($0.name, $0.shape) } }
    }

    /// The names of the weight files, with their sizes in bytes without headers.
    public var weightFiles: [(name: String, byteCount: Int)] {
        shards.shards.map { ($0.name, $0.tensors.reduce(0) { $0 + $1.byteCount }) }
    }

    /// Writes the directory.
    ///
    /// - Parameters:
    ///   - path: The directory, written atomically.
    ///   - overwrite: Whether an existing directory is replaced.
    ///   - context: Threads, progress and cancellation.
    /// - Returns: What was written, and how long it took.
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func write(to path: String, overwrite: Bool = false, context: RunContext = RunContext()) throws
        -> ConversionReport
    {
        let clock = ContinuousClock()
        let start = clock.now
        let directory = try StagedDirectory(destination: path, overwrite: overwrite)
        let sideFiles = [ToyFile("config.json", configuration), readme] + recipe.sideFiles(configuration)
        let plannedFiles = shards.plannedFiles + sideFiles.map { PlannedFile.literal(name: $0.name, $0.bytes) }
        let written = try directory.filling {
            let written = try CheckpointWriter(directory: directory.path, context: context).write(
                plannedFiles,
                activity: ConversionPlan.Kind.making.activity
            )
            try context.cancellation.check()
            try directory.commit()
            return written
        }
        return ConversionReport(
            kind: .making,
            source: "\(family), seed \(options.seed)",
            destination: directory.destination,
            tensors: tensorCount,
            files: written.map { .init(name: $0.name, byteCount: $0.byteCount) },
            seconds: (clock.now - start).seconds,
            notes: []
        )
    }

    private var readme: ToyFile {
        let size = options.realSize.map { "the dimensions of \($0)" } ?? "tiny dimensions"
        return ToyFile(
            "README.md",
            text: """
                ---
                library_name: transformers
                ---

                # A toy

                Random weights in \(size), \(parameterCount) parameters, family \(family), made by `bridge toy` with
                seed \(options.seed). It is for testing and benchmarking tools; its output is meaningless.

                """
        )
    }
}
