import BridgeSupport
import JSONTree
import ModelPlugins
import ModelSchema
public import Models
import Processing
import Tokenizers

extension AutoBridge {
    /// The model's `generation_config.json`; nil if there is none.
    ///
    /// - Throws: `BridgeError` for a file that is not a JSON object.
    func generationFile() throws -> (json: JSON, name: String)? {
        guard let name = processorDirectory.map({ Files.join($0, GenerationSettings.table.file) }), Files.exists(name)
        else {
            return nil
        }
        let json = try JSON(contentsOf: name)
        guard json.object != nil else {
            throw BridgeError(.badConfiguration, "\(name) is \(json.kind), expected an object")
        }
        return (json, name)
    }

    /// The settings of the model's `generation_config.json`; empty if there is none.
    ///
    /// - Throws: `BridgeError` for values that cannot be used or would change the result and are not supported.
    public func generationSettings() throws -> GenerationSettings {
        guard let (json, name) = try generationFile() else { return GenerationSettings() }
        return try GenerationSettings(json, name: name, vocabulary: model.provider.decoder.vocabSize)
    }

    /// The end-of-sequence tokens, from `generation_config.json`, or from the configuration if there is no such file.
    ///
    /// As in transformers, a file without them means that only the maximum length ends generation.
    ///
    /// - Throws: `BridgeError` for a file that is not valid JSON.
    public func endTokens() throws -> Set<Int32> {
        let generation = try generationFile()?.json
        for json in generation.map({ [$0] }) ?? [model.configuration, model.configuration["text_config"]] {
            guard let value = json?["eos_token_id"] else { continue }
            let tokens = [Int](json: value) ?? Int(json: value).map { [$0] } ?? []
            if !tokens.isEmpty { return Set(tokens.map { Int32(clamping: $0) }) }
        }
        // A tekken.json without other files has no such key; the tokenizer has the token.
        guard generation == nil, let tokenizer = try? processor().tokenizer, tokenizer.framesConversations else {
            return []
        }
        return Set([tokenizer.settings.endToken.flatMap { tokenizer.id(of: $0) }].compactMap { $0 })
    }
}
