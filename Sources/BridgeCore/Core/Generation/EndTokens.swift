import JSONTree
import Tokenizers

extension AutoBridge {
    /// The tokens that end a text, from `generation_config.json`, or from the configuration where that says nothing.
    ///
    /// - Throws: `BridgeError` for a file that is no JSON.
    public func endTokens() throws -> Set<Int32> {
        let path = processorFolder.map { Files.join($0, "generation_config.json") }
        let generation = try path.flatMap { Files.exists($0) ? try JSON(contentsOf: $0) : nil }
        for json in [generation, model.configuration, model.configuration["text_config"]] {
            guard let value = json?["eos_token_id"] else { continue }
            let tokens = [Int](json: value) ?? Int(json: value).map { [$0] } ?? []
            if !tokens.isEmpty { return Set(tokens.map { Int32(clamping: $0) }) }
        }
        // Where a tekken.json stands alone no file names an end token; the tokenizer has it.
        guard generation == nil, let tokenizer = try? processor().tokenizer, tokenizer.framesConversations else {
            return []
        }
        return Set([tokenizer.settings.endToken.flatMap { tokenizer.id(of: $0) }].compactMap { $0 })
    }
}
