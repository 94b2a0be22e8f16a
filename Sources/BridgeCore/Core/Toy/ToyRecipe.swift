public import JSONTree

/// What a family says about its toy models: configurations and the files beside the weights.
public struct ToyRecipe: Sendable {
    /// A configuration in the style of the hub's, of a model that fits into a few hundred kB.
    public var tiny: JSON
    /// The configurations of the published models by the name of their size, such as `3b`.
    public var realSizes: [(name: String, configuration: JSON)]
    /// The key paths that `--layers` and `--hidden` change, relative to the configuration.
    public var layerPaths: [String]
    /// See ``layerPaths``.
    public var hiddenPath: String
    /// The key path of the vocabulary's size.
    public var vocabularyPath: String
    /// The tokenizer, processor and chat template files, for a vocabulary of the given size.
    public var sideFiles: @Sendable (_ configuration: JSON) -> [(name: String, bytes: [UInt8])]

    /// A recipe.
    public init(
        tiny: JSON,
        realSizes: [(name: String, configuration: JSON)],
        layerPaths: [String],
        hiddenPath: String,
        vocabularyPath: String,
        sideFiles: @escaping @Sendable (_ configuration: JSON) -> [(name: String, bytes: [UInt8])]
    ) {
        self.tiny = tiny
        self.realSizes = realSizes
        self.layerPaths = layerPaths
        self.hiddenPath = hiddenPath
        self.vocabularyPath = vocabularyPath
        self.sideFiles = sideFiles
    }
}
