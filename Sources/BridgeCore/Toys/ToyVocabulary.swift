import JSONTree

/// The tokens and merges of a byte-pair encoding that was never trained: bytes, some common words, then all syllables.
///
/// It fills the vocabulary to its last id, so that any token of a model with random weights can be decoded.
public struct ToyVocabulary: Sendable {
    /// The tokens by id.
    public private(set) var tokens: [String]
    /// The merges, the first to be applied first.
    public private(set) var merges: [(left: String, right: String)] = []

    private var known: Set<String> = []
    private var next = 0

    /// A vocabulary.
    ///
    /// - Parameters:
    ///   - size: How many tokens.
    ///   - special: Tokens whose ids are given; the others take the ids between them.
    ///   - alphabet: The tokens that merges start from.
    ///   - space: The character of a space.
    public init(size: Int, special: [Int: String], alphabet: [String], space: String) {
        tokens = [String](repeating: "", count: max(size, 0))
        for (id, token) in special where tokens.indices.contains(id) {
            tokens[id] = token
            known.insert(token)
        }
        for token in alphabet { append(token) }
        for word in Self.words {
            merge(word)
            merge(space + word)
        }
        fill(space)
    }

    /// The tokens with their ids, for `model.vocab` of a `tokenizer.json`.
    var vocabularyJSON: JSON {
        .object(JSONObject(tokens.enumerated().map { ($1, JSON($0)) }))
    }

    /// The merges, for `model.merges` of a `tokenizer.json`.
    var mergesJSON: JSON { .array(merges.map { [.string($0.left), .string($0.right)] }) }

    private var isFull: Bool { next >= tokens.count }

    private mutating func append(_ token: String) {
        while !isFull, !tokens[next].isEmpty { next += 1 }
        guard !isFull, known.insert(token).inserted else { return }
        tokens[next] = token
        next += 1
        while !isFull, !tokens[next].isEmpty { next += 1 }
    }

    private mutating func append(_ left: String, _ right: String) {
        guard !isFull, known.contains(left), known.contains(right), !known.contains(left + right) else { return }
        append(left + right)
        merges.append((left, right))
    }

    /// Joins the pieces of a word, as the merges so far leave them, from the first one on until the word is one token.
    private mutating func merge(_ word: String) {
        var pieces = word.map { String($0) }
        for (left, right) in merges {
            var index = 0
            while index + 1 < pieces.count {
                if pieces[index] == left, pieces[index + 1] == right {
                    pieces.replaceSubrange(index...index + 1, with: [left + right])
                }
                index += 1
            }
        }
        guard var text = pieces.first else { return }
        for piece in pieces.dropFirst() {
            append(text, piece)
            text += piece
        }
    }

    /// All pairs of letters, alone and after a space, then all pairs of those, until every id is assigned.
    private mutating func fill(_ space: String) {
        let pairs = Self.letters.flatMap { first in Self.letters.map { (first, $0) } }
        for (first, second) in pairs {
            append(String(first), String(second))
            append(space, String(first))
            append(space + String(first), String(second))
        }
        for (first, second) in pairs {
            let left = String([first, second])
            for (third, fourth) in pairs {
                if isFull { return }
                append(left, String([third, fourth]))
            }
        }
    }

    /// The letters in the order of their frequency in English.
    private static let letters = Array("etaoinshrdlcumwfgypbvkjxqz")

    private static let words = [
        "the", "and", "ing", "of", "to", "in", "is", "that", "for", "it", "on", "with", "as", "are", "this", "be",
        "from",
        "or", "an", "by", "at", "not", "you", "have", "what", "image", "model", "layer", "weight", "bridge",
    ]
}
