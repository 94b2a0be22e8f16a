import BridgeSupport
import JSONTree
import ModelPlugins
import ModelSchema
public import Models
import Processing
import Tokenizers

extension AutoBridge {
    /// The model's `generation_config.json`; without one, the keys of it that `config.json` has.
    ///
    /// Source: `GenerationConfig.from_model_config`, transformers 5.23.
    ///
    /// - Throws: `BridgeError` for a file that is not a JSON object.
    func generationFile() throws -> (json: JSON, name: String, isOwn: Bool) {
        guard let name = processorDirectory.map({ Files.join($0, GenerationSettings.table.file) }), Files.exists(name)
        else {
            let sections = [model.configuration, model.configuration["text_config"]].compactMap(\.self)
            let found = GenerationSettings.table.settings.map(\.key).compactMap { key in
                sections.lazy.compactMap { $0[key]?.nonNull }.first.map { (key, $0) }
            }
            return (.object(JSONObject(found)), "config.json", false)
        }
        let json = try JSON(contentsOf: name)
        guard json.object != nil else {
            throw BridgeError(.badConfiguration, "\(name) is \(json.kind), expected an object")
        }
        return (json, name, true)
    }

    /// The settings of the model's `generation_config.json`, or of `config.json` if there is no such file.
    ///
    /// - Throws: `BridgeError` for values that cannot be used or would change the result and are not supported.
    public func generationSettings() throws -> GenerationSettings { try foundSettings().settings }

    /// The same, and whether they are those of a `generation_config.json`.
    private func foundSettings() throws -> (settings: GenerationSettings, areOfFile: Bool) {
        let (json, name, isOwn) = try generationFile()
        return (try GenerationSettings(json, name: name, vocabulary: model.provider.decoder.vocabSize), isOwn)
    }

    /// The end-of-sequence tokens, from `generation_config.json`, or from the configuration if there is no such file.
    ///
    /// As in transformers, a file without them means that only the maximum length ends generation.
    ///
    /// - Throws: As ``generationSettings()``.
    public func endTokens() throws -> Set<Int32> {
        let (settings, areOfFile) = try foundSettings()
        if !settings.endTokens.isEmpty { return Set(settings.endTokens) }
        // A tekken.json without other files has no such key; the tokenizer has the token.
        guard !areOfFile, let tokenizer = try? processor().tokenizer, tokenizer.framesConversations
        else {
            return []
        }
        return Set([tokenizer.settings.endToken.flatMap { tokenizer.id(of: $0) }].compactMap { $0 })
    }
}
