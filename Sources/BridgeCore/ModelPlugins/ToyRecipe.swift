public import JSONTree
public import ModelSchema

/// A family's toy models: configurations, the distribution of their weights, and their side files.
public struct ToyRecipe: Sendable {
    /// A configuration in the style of the hub's, of a model that fits into a few hundred kB.
    public var tiny: JSON
    /// The configurations of the published models by the name of their size, such as `3b`.
    public var realSizes: [(name: String, configuration: JSON)]
    /// The keyMapping in which the hub's files spell the tensors' names; nil for the table's own names.
    public var keyMapping: String?
    /// The key path that `--layers` changes.
    public var layersPath: String
    /// The key path that `--hidden` changes.
    public var hiddenPath: String
    /// The divisor of the hidden size in a configuration.
    public var hiddenDivisor: @Sendable (_ configuration: JSON) -> ToyDivisor?
    /// The distribution of tensors that are not matrices; the first pattern that matches a name counts.
    public var values: [(names: NameGlob, values: ToyValues)]
    /// The tokenizer, processor, chat template and generation files for a configuration.
    public var sideFiles: @Sendable (_ configuration: JSON) -> [ToyFile]

    /// A recipe.
    public init(
        tiny: JSON,
        realSizes: [(name: String, configuration: JSON)],
        keyMapping: String? = nil,
        layersPath: String,
        hiddenPath: String,
        hiddenDivisor: @escaping @Sendable (_ configuration: JSON) -> ToyDivisor? = { _ in nil },
        values: [(names: NameGlob, values: ToyValues)],
        sideFiles: @escaping @Sendable (_ configuration: JSON) -> [ToyFile]
    ) {
        self.tiny = tiny
        self.realSizes = realSizes
        self.keyMapping = keyMapping
        self.layersPath = layersPath
        self.hiddenPath = hiddenPath
        self.hiddenDivisor = hiddenDivisor
        self.values = values
        self.sideFiles = sideFiles
    }
}

/// A number that another one has to be a multiple of, and why.
public struct ToyDivisor: Sendable {
    /// The number.
    public var value: Int
    /// Its description for a message: "the 8 attention heads".
    public var reason: String

    /// A divisor.
    public init(_ value: Int, _ reason: String) {
        self.value = value
        self.reason = reason
    }
}

/// The distribution of a tensor's values: uniform in [center - spread, center + spread).
public struct ToyValues: Sendable, Equatable {
    /// The middle.
    public var center: Float
    /// The largest distance from the center.
    public var spread: Float

    /// A spread around a number.
    public init(around center: Float, spread: Float) {
        self.center = center
        self.spread = spread
    }

    /// The default for a shape: a matrix keeps the magnitude of its input, a vector is small.
    ///
    /// A uniform number in [-a, a) has the deviation a / sqrt(3), and a sum over `width` inputs of deviation 1 should
    /// have the deviation 1 again.
    package static func standard(_ shape: [Int]) -> ToyValues {
        guard shape.count > 1 else { return ToyValues(around: 0, spread: 0.1) }
        let width = shape.dropFirst().reduce(1, *)
        return ToyValues(around: 0, spread: Float((3 / Double(width)).squareRoot()))
    }
}

/// A small file of a toy's directory.
public struct ToyFile: Sendable {
    /// Its name.
    public var name: String
    /// Its content.
    public var bytes: [UInt8]

    /// A text file.
    public init(_ name: String, text: String) {
        self.name = name
        bytes = Array(text.utf8)
    }

    /// A JSON file, indented as transformers writes them, or on one line.
    public init(_ name: String, _ json: JSON, pretty: Bool = true) {
        self.name = name
        bytes = json.text(pretty: pretty)
    }
}
