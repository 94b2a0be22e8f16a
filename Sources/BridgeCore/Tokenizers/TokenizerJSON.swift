import JSONTree

extension JSON {
    /// Parses the bytes of a tokenizer's file.
    init(tokenizerFile bytes: [UInt8]) throws(TokenizerError) {
        do {
            try self.init(parsing: bytes)
        } catch {
            throw TokenizerError(.badFile, "is not valid JSON: \(error)")
        }
    }

    /// The members of an object, in order; nil for anything else.
    var members: [(key: String, value: JSON)]? { object.map(Array.init) }
}
