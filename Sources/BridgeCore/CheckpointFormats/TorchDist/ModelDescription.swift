package import JSONTree
package import TensorRuntime

/// What is known of the model of a checkpoint that another program wrote.
package struct ModelDescription: Sendable {
    /// The architecture, as `config.json` has it.
    package var architecture: String
    /// The family's name.
    package var family: String
    /// The content of `config.json`.
    package var configuration: JSON
    /// The number of ranks that wrote the checkpoint.
    package var layout: RankLayout
    /// The program that wrote it, as far as it is known.
    package var writer: String
    /// Keys of the description that nothing reads and nobody knows.
    package var unreadKeys: [String]

    package init(
        architecture: String,
        family: String,
        configuration: JSON,
        layout: RankLayout,
        writer: String,
        unreadKeys: [String] = []
    ) {
        self.architecture = architecture
        self.family = family
        self.configuration = configuration
        self.layout = layout
        self.writer = writer
        self.unreadKeys = unreadKeys
    }
}
