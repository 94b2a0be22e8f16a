/// The vocabulary and the steps of a tokenizer, for a format of another program.
public struct TokenizerContents: Sendable {
    /// The kind of a token.
    public enum Kind: Sendable, Equatable {
        /// A piece of text.
        case normal
        /// What stands for text that has no tokens.
        case unknown
        /// A token that is skipped when text is decoded for display.
        case control
        /// A text that is found before splitting.
        case added
        /// A single byte, spelled `<0x0A>`.
        case byte
        /// An id that no text has.
        case unused
    }

    /// A token of the vocabulary.
    public struct Token: Sendable, Equatable {
        /// Its spelling in the vocabulary.
        public var text: [UInt8]
        /// What it is for.
        public var kind: Kind

        /// A token.
        public init(text: [UInt8], kind: Kind) {
            (self.text, self.kind) = (text, kind)
        }
    }

    /// How the first symbols of a text come about.
    public enum Alphabet: Sendable, Equatable {
        /// Single bytes, after a text was split by a regular expression; nil for one that is not split.
        case bytes(pattern: String?)
        /// Characters, with spaces as `▁`; the first word gets one where `prependsSpace` is true.
        case characters(prependsSpace: Bool, mergesSpaces: Bool)
    }

    /// The tokens by id, without holes.
    public let tokens: [Token]
    /// The pairs that are merged, the first first, and the token that each makes.
    public let merges: [(left: Int32, right: Int32, result: Int32)]
    /// The first symbols.
    public let alphabet: Alphabet
    /// The ids before and after an encoded text.
    public let prefix: [Int32], suffix: [Int32]
    /// The number of pairs of tokens that make a token by their text without being merged.
    public let unmergedPairs: Int
    /// The steps that the rest does not describe, by their names.
    public let otherSteps: [String]
}

extension Tokenizer {
    /// The vocabulary and the steps.
    public var contents: TokenizerContents {
        let (alphabet, otherSteps) = isByteLevel ? byteSteps : characterSteps
        let merges = encoder.merges.ordered
        return TokenizerContents(
            tokens: (0..<vocabularySize).map(listed),
            merges: merges,
            alphabet: alphabet,
            prefix: postProcessor.prefix,
            suffix: postProcessor.suffix,
            unmergedPairs: isByteLevel ? 0 : unmergedPairs,
            otherSteps: otherSteps
        )
    }

    private func listed(_ id: Int) -> TokenizerContents.Token {
        if let token = added[id] {
            return .init(text: Array(token.content.utf8), kind: token.isSpecial ? .control : .added)
        }
        guard let spelling = token(of: Int32(id)) else { return .init(text: [], kind: .unused) }
        let text = Array(spelling.utf8)
        if encoder.unknown == Int32(id) { return .init(text: text, kind: .unknown) }
        let isByte = encoder.fallsBackToBytes && encoder.fallbackIDs.contains(Int32(id))
        return .init(text: text, kind: isByte ? .byte : .normal)
    }

    /// The steps of a tokenizer of bytes.
    private var byteSteps: (TokenizerContents.Alphabet, [String]) {
        var others: [String] = []
        var patterns: [String] = []
        if normalizer != nil || sentencePiece != nil { others.append("a normalizer") }
        for step in preTokenizer?.flattened ?? [] {
            if case .split(.expression(let expression), .isolated, inverted: false) = step {
                patterns.append(expression.pattern)
            } else {
                others.append("a pre-tokenizer besides a regular expression")
            }
        }
        if patterns.count > 1 { others.append("\(patterns.count) regular expressions") }
        return (.bytes(pattern: patterns.first), others)
    }

    /// The steps of a tokenizer of characters.
    private var characterSteps: (TokenizerContents.Alphabet, [String]) {
        var others: [String] = []
        var (prepends, merges, replaces) = (false, false, false)
        for step in normalizer?.flattened ?? [] {
            switch step {
            case .prepend(BytePairEncoder.metaspace): prepends = true
            case .replace(.literal([0x20]), by: BytePairEncoder.metaspace): replaces = true
            default: others.append("a normalizer besides those of spaces")
            }
        }
        if let sentencePiece {
            (prepends, merges, replaces) = (
                sentencePiece.addsDummyPrefix, sentencePiece.removesExtraSpaces, sentencePiece.escapesSpaces
            )
            if sentencePiece.characterMap != nil { others.append("a character map") }
            if sentencePiece.dummyIsSuffix { others.append("a space at the end") }
        }
        for step in preTokenizer?.flattened ?? [] {
            switch step {
            // Without spaces in the text there is nothing to split at.
            case .split(.literal([0x20]), _, inverted: false) where replaces: break
            case .metaspace(BytePairEncoder.metaspace, let scheme, splits: false):
                (prepends, replaces) = (scheme != .never, true)
            default: others.append("a pre-tokenizer besides that of spaces")
            }
        }
        if !replaces { others.append("spaces that stay spaces") }
        if !encoder.fallsBackToBytes { others.append("characters without bytes to fall back to") }
        if encoder.prefersWholeWords { others.append("words that are tokens as a whole") }
        if !encoder.continuingPrefix.isEmpty || !encoder.endOfWordSuffix.isEmpty { others.append("marks of words") }
        return (.characters(prependsSpace: prepends, mergesSpaces: merges), others)
    }

    /// Pairs that a tokenizer which merges by the text of the result alone would merge besides.
    private var unmergedPairs: Int {
        (0..<encoder.vocabulary.upperBound).reduce(0) { count, id in
            guard let token = encoder.vocabulary[id] else { return count }
            return count
                + encoder.vocabulary.splits(of: Array(token), atCharacters: true).count {
                    encoder.merges.merge($0.left, $0.right) == nil
                }
        }
    }
}

extension PreTokenizer {
    /// The steps, one after the other.
    fileprivate var flattened: [PreTokenizer] {
        if case .sequence(let steps) = self { steps.flatMap(\.flattened) } else { [self] }
    }
}

extension Normalizer {
    /// The steps, one after the other.
    fileprivate var flattened: [Normalizer] {
        if case .sequence(let steps) = self { steps.flatMap(\.flattened) } else { [self] }
    }
}
