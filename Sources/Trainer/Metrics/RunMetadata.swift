public import JSONTree

/// The metadata of a run, for reports.
public struct RunMetadata: Sendable, Equatable {
    /// The name of the recipe.
    public var name: String
    /// Facts in the order of the report: model, parameters, machine, data, and so on.
    public var metadata: [(name: String, value: String)]
    /// The settings and the description of the model, as in `run_config.yaml`; null where they are not known.
    public var configuration: JSON

    /// Facts.
    public init(name: String, metadata: [(name: String, value: String)], configuration: JSON = .null) {
        self.name = name
        self.metadata = metadata
        self.configuration = configuration
    }

    /// Whether all parts are equal.
    public static func == (left: RunMetadata, right: RunMetadata) -> Bool {
        left.name == right.name && left.metadata.elementsEqual(right.metadata, by: ==)
            && left.configuration == right.configuration
    }
}
