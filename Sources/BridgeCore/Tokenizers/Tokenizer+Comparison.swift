extension Tokenizer {
    /// The first token that another tokenizer spells in another way; nil where all ids that both have are the same tokens.
    ///
    /// One of the two may have more tokens at the end, as a multimodal model has beside a text-only one.
    ///
    /// - Parameter other: The other tokenizer.
    /// - Returns: A clause with the id and both spellings.
    public func firstDifference(from other: Tokenizer) -> String? {
        for id in 0..<Int32(clamping: min(vocabularySize, other.vocabularySize)) {
            let (own, theirs) = (token(of: id), other.token(of: id))
            guard own != theirs else { continue }
            func text(_ token: String?) -> String { token.map { "'\($0)'" } ?? "no token" }
            return "token \(id) is \(text(own)) in the model and \(text(theirs)) in the other one"
        }
        return nil
    }
}
