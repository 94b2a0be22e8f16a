/// Added tokens in their order, with the ids that Python's tokenizers give them.
struct AddedTokenList {
    /// The tokens.
    private(set) var tokens: [AddedToken] = []
    private var positions: [[UInt8]: Int] = [:]
    private var next: Int
    private let tokenizer: Tokenizer

    /// The added tokens of a tokenizer.
    init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        tokens = tokenizer.addedInOrder
        next = tokenizer.encoder.vocabulary.count + tokenizer.unreachable.count
        for (index, token) in tokens.enumerated() {
            positions[Array(token.content.utf8)] = index
            next = max(next, token.id + 1)
        }
    }

    /// Adds a token.
    ///
    /// One that was added before gets the new flags and keeps its id; one of the vocabulary has its id there, and all others
    /// get the next one that is free, whatever id the token came with.
    mutating func add(_ token: AddedToken) {
        let content = Array(token.content.utf8)
        guard !content.isEmpty else { return }
        var token = token
        if let position = positions[content] {
            token.id = tokens[position].id
            tokens[position] = token
            return
        }
        if let id = tokenizer.id(of: token.content) {
            token.id = Int(id)
        } else {
            token.id = next
        }
        next = max(next, token.id + 1)
        positions[content] = tokens.count
        tokens.append(token)
    }
}
