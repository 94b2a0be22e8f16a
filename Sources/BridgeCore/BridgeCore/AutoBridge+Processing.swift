import BridgeSupport

extension AutoBridge {
    /// The files that decide which tokens and images a conversation becomes: tokenizer, chat templates and processor.
    ///
    /// - Returns: Their names below the model's directory and their paths, sorted; empty for a bridge that was made from a configuration
    ///   alone.
    /// - Throws: `BridgeError` when the directory cannot be listed.
    public func processingFiles() throws -> [(name: String, path: String)] {
        guard let processorDirectory else { return [] }
        let templates = Files.join(processorDirectory, Self.templateDirectory)
        let others = Files.kind(of: templates) == .directory ? try Files.list(templates) : []
        let names =
            Self.processingNames
            + others.filter { $0.hasSuffix(".jinja") }.map { Files.join(Self.templateDirectory, $0) }
        return names.map { ($0, Files.join(processorDirectory, $0)) }
            .filter { Files.kind(of: $0.1) == .file }.sorted { $0.0 < $1.0 }
    }

    private static let templateDirectory = "additional_chat_templates"

    private static let processingNames = [
        "added_tokens.json", "chat_template.jinja", "chat_template.json", "preprocessor_config.json",
        "processor_config.json", "special_tokens_map.json", "tekken.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json",
    ]
}
