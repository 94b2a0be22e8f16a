extension Tokenizer {
    /// The text of some tokens.
    ///
    /// Ids without a token are skipped, as in Python's tokenizers.
    ///
    /// - Parameters:
    ///   - ids: The tokens.
    ///   - skippingSpecialTokens: Whether control tokens are skipped.
    /// - Returns: The text; bytes that form no character are replaced by U+FFFD.
    /// - Throws: `TokenizerError` when an expression of the decoder gives up on the text.
    public func decode(
        _ ids: some Sequence<Int32>,
        skippingSpecialTokens: Bool = false
    ) throws(TokenizerError) -> String {
        var tokens: [[UInt8]] = []
        for id in ids {
            if let token = decodable(id, skippingSpecialTokens: skippingSpecialTokens) { tokens.append(token) }
        }
        return String(decoding: try decoder.decode(tokens), as: UTF8.self)
    }

    /// A decoder that takes tokens one by one.
    public func streamingDecoder(skippingSpecialTokens: Bool = false) -> StreamingDecoder {
        StreamingDecoder(self, skippingSpecialTokens: skippingSpecialTokens)
    }

    /// The bytes of a token for the decoder, or nil where the id is skipped.
    func decodable(_ id: Int32, skippingSpecialTokens: Bool) -> [UInt8]? {
        if skippingSpecialTokens, isSpecial(id) { return nil }
        if let surface = surfaces[Int(id)] { return surface }
        if isByteLevel, decoder.readsBytes {
            if let spelling = addedSpellings[Int(id)] {
                return ByteAlphabet.decode(String(decoding: spelling, as: UTF8.self)) ?? spelling
            }
            return encoder.vocabulary[Int(id)].map(Array.init) ?? unreachable[Int(id)]
        }
        guard let token = token(of: id) else { return nil }
        if decoder.readsBytes { return ByteAlphabet.decode(token) ?? Array(token.utf8) }
        return Array(token.utf8)
    }
}
