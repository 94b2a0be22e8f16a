/// Turns text into the token ids of a model and back, exactly as the model's own tokenizer does.
///
/// A value of this type may be shared between threads.
public struct Tokenizer: Sendable {
    var normalizer: Normalizer?
    var sentencePiece: SentencePieceNormalizer?
    var preTokenizer: PreTokenizer?
    var encoder: BytePairEncoder
    var postProcessor = PostProcessor()
    var decoder = Decoder()
    /// Whether the vocabulary is spelled in the byte alphabet.
    var isByteLevel: Bool
    /// Tokens of the vocabulary that no text can become: spelled outside of the byte alphabet.
    var unreachable: [Int: [UInt8]] = [:] {
        didSet { unreachableIDs = Dictionary(unreachable.map { ($1, $0) }) { min($0, $1) } }
    }
    private var unreachableIDs: [[UInt8]: Int] = [:]
    /// The text of a token in decoding, if it is not its spelling.
    var surfaces: [Int: [UInt8]] = [:]
    private(set) var added: [Int: AddedToken] = [:]
    /// The added tokens in the order in which they were added, which decides between equal texts.
    private(set) var addedInOrder: [AddedToken] = []
    /// The spelling of the added tokens in the normalized text, which is the result of decoding their ids.
    private(set) var addedSpellings: [Int: [UInt8]] = [:]
    private var addedByContent: [[UInt8]: Int] = [:]
    private var specialContents: Set<[UInt8]> = []
    /// The added tokens with the texts by which they are matched, original and normalized.
    private var rawTexts: [(token: AddedToken, content: [UInt8])] = []
    private var normalizedTexts: [(token: AddedToken, content: [UInt8])] = []
    private var rawMatcher = AddedTokenMatcher()
    private var normalizedMatcher = AddedTokenMatcher()
    private let caches = WordCachePool()
    /// The format of conversations without a template; nil if a template is required.
    var instructChat: InstructChat?
    /// The longest side that images are shrunk to, where the tokenizer's file holds it.
    public internal(set) var largestImageSide: Int?

    /// The names of the tokens that mark begin, end and padding, and the chat templates of the model.
    public internal(set) var settings = TokenizerSettings()

    init(encoder: BytePairEncoder, isByteLevel: Bool) {
        self.encoder = encoder
        self.isByteLevel = isByteLevel
    }

    /// Replaces all added tokens; a token that was special remains special.
    mutating func replaceAddedTokens(by tokens: [AddedToken]) throws(TokenizerError) {
        (added, addedInOrder, addedSpellings, addedByContent) = ([:], [], [:], [:])
        (rawTexts, normalizedTexts) = ([], [])
        try add(tokens)
    }

    /// Adds tokens that are found in the text before it is split.
    ///
    /// The order decides between equal texts.
    mutating func add(_ tokens: [AddedToken]) throws(TokenizerError) {
        addedInOrder += tokens
        for token in tokens where !token.content.isEmpty {
            let content = Array(token.content.utf8)
            added[token.id] = token
            addedSpellings[token.id] = content
            addedByContent[content] = token.id
            if token.isSpecial { specialContents.insert(content) }
        }
        for wantsSpecial in [true, false] {
            for token in tokens where token.isSpecial == wantsSpecial && !token.content.isEmpty {
                let content = Array(token.content.utf8)
                guard token.isNormalized, let normalizer else {
                    if token.isNormalized {
                        normalizedTexts.append((token, content))
                    } else {
                        rawTexts.append((token, content))
                    }
                    continue
                }
                var text = content.withUnsafeBufferPointer {
                    AlignedText(
                        copying: $0,
                        range: 0..<content.count,
                        tracksOrigins: false,
                        budget: EncodingBudget(textBytes: content.count)
                    )
                }
                try normalizer.apply(to: &text)
                addedSpellings[token.id] = text.bytes
                normalizedTexts.append((token, text.bytes))
            }
        }
        rawMatcher = AddedTokenMatcher(rawTexts)
        normalizedMatcher = AddedTokenMatcher(normalizedTexts)
    }
}

extension Tokenizer {
    /// One more than the largest token id.
    public var vocabularySize: Int {
        max(encoder.vocabulary.upperBound, (added.keys.max() ?? -1) + 1, (unreachable.keys.max() ?? -1) + 1)
    }

    /// The tokens that are found in a text before it is split, by id.
    public var addedTokens: [AddedToken] {
        added.values.sorted { $0.id < $1.id }
    }

    /// The id of a token by its spelling in the vocabulary file, or nil where there is none.
    public func id(of token: String) -> Int32? {
        let spelling = Array(token.utf8)
        if let id = addedByContent[spelling] { return Int32(id) }
        let bytes = isByteLevel ? ByteAlphabet.decode(token) : spelling
        if let bytes, let id = encoder.vocabulary.id(of: bytes) { return Int32(id) }
        return unreachableIDs[spelling].map { Int32($0) }
    }

    /// The spelling of a token in the vocabulary file, or nil where the id has none.
    public func token(of id: Int32) -> String? {
        if let spelling = addedSpellings[Int(id)] { return String(decoding: spelling, as: UTF8.self) }
        if let spelling = unreachable[Int(id)] { return String(decoding: spelling, as: UTF8.self) }
        guard let bytes = encoder.vocabulary[Int(id)] else { return nil }
        return isByteLevel ? ByteAlphabet.encode(bytes) : String(decoding: bytes, as: UTF8.self)
    }

    /// Whether the token is skipped when text is decoded for display.
    public func isSpecial(_ id: Int32) -> Bool {
        guard !specialContents.isEmpty, let token = token(of: id) else { return false }
        return specialContents.contains(Array(token.utf8))
    }
}

extension Tokenizer {
    /// The token ids of a text.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - addingSpecialTokens: Whether to put the tokens around it that the model expects, such as the one that begins a
    ///     sequence. A rendered chat template has them already: pass false for it.
    ///   - parsingSpecialTokens: Whether a control token that is spelled out in the text becomes that token. Pass false for
    ///     text from strangers.
    /// - Returns: The ids in the order of the text.
    /// - Throws: `TokenizerError` when an expression of the tokenizer gives up on the text.
    public func encode(
        _ text: String,
        addingSpecialTokens: Bool = true,
        parsingSpecialTokens: Bool = true
    ) throws(TokenizerError) -> [Int32] {
        let parts = try run(text, tracksOrigins: false, parsingSpecialTokens: parsingSpecialTokens)
        guard addingSpecialTokens else { return parts.ids }
        return postProcessor.prefix + parts.ids + postProcessor.suffix
    }

    /// The token ids of a text, and which bytes of the text each came from.
    ///
    /// The parameters are those of `encode`.
    public func encodeWithOffsets(
        _ text: String,
        addingSpecialTokens: Bool = true,
        parsingSpecialTokens: Bool = true
    ) throws(TokenizerError) -> Encoding {
        var encoding = try run(text, tracksOrigins: true, parsingSpecialTokens: parsingSpecialTokens)
        guard addingSpecialTokens else { return encoding }
        let prefix = Encoding(ids: postProcessor.prefix, offsets: postProcessor.prefix.map { _ in 0..<0 })
        let suffix = Encoding(ids: postProcessor.suffix, offsets: postProcessor.suffix.map { _ in 0..<0 })
        encoding.ids = prefix.ids + encoding.ids + suffix.ids
        encoding.offsets = prefix.offsets + encoding.offsets + suffix.offsets
        return encoding
    }

    /// The most bytes of text that are encoded at once.
    public static let largestText = EncodingBudget.textBytes

    /// Encodes a text without the tokens around it, within a budget; nil for the one of its size.
    func run(
        _ text: String,
        tracksOrigins: Bool,
        parsingSpecialTokens: Bool = true,
        budget: EncodingBudget? = nil
    ) throws(TokenizerError) -> Encoding {
        guard text.utf8.count <= Self.largestText else {
            throw TokenizerError(
                .tooLarge,
                "the text has \(text.utf8.count) bytes; at most \(Self.largestText) are encoded at once, so split it"
            )
        }
        let budget = budget ?? EncodingBudget(textBytes: text.utf8.count)
        var text = text
        text.makeContiguousUTF8()
        let bytes = Array(text.utf8)
        return try caches.withCache { cache throws(TokenizerError) in
            try bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
                var state = EncodingState(cache: cache, tracksOrigins: tracksOrigins)
                try rawMatcher.forEachPiece(of: buffer, allowsSpecial: parsingSpecialTokens, budget) {
                    piece throws(TokenizerError) in
                    try budget.tick()
                    if let id = piece.id {
                        state.append(id, offset: piece.range)
                    } else {
                        let section = AlignedText(
                            copying: buffer,
                            range: piece.range,
                            tracksOrigins: tracksOrigins,
                            budget: budget
                        )
                        try encodeSection(section, parsingSpecialTokens, into: &state)
                    }
                }
                return state.encoding
            }
        }
    }

    private func encodeSection(
        _ section: AlignedText,
        _ parsingSpecialTokens: Bool,
        into state: inout EncodingState
    ) throws(TokenizerError) {
        var text = section
        if let normalizer { try normalizer.apply(to: &text) }
        if let sentencePiece { try sentencePiece.apply(to: &text) }
        guard !normalizedMatcher.isEmpty else { return try encodeWords(of: text, into: &state) }
        try text.bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            try normalizedMatcher.forEachPiece(of: buffer, allowsSpecial: parsingSpecialTokens, text.budget) {
                piece throws(TokenizerError) in
                if let id = piece.id {
                    state.append(id, offset: text.origin(of: piece.range))
                } else {
                    try encodeWords(of: AlignedText(text, range: piece.range), into: &state)
                }
            }
        }
    }

    private func encodeWords(of text: AlignedText, into state: inout EncodingState) throws(TokenizerError) {
        var list = WordList(text)
        try preTokenizer?.apply(to: &list)
        try text.budget.take(list.text.count)
        try list.text.bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            for part in list.words {
                let word = Int(part.lowerBound)..<Int(part.upperBound)
                try text.budget.tick(1 + word.count / 8)
                let before = state.run.ids.count
                try encoder.encode(
                    UnsafeBufferPointer(rebasing: buffer[word]),
                    cache: state.cache,
                    symbols: &state.symbols,
                    into: &state.run
                )
                guard state.tracksOrigins else { continue }
                var start = word.lowerBound
                for length in state.run.lengths[before...] {
                    let end = min(start + Int(length), word.upperBound)
                    state.offsets.append(list.text.origin(of: start..<end))
                    start = end
                }
            }
        }
    }
}

/// The state of one call of `encode`.
private struct EncodingState {
    let cache: WordCache
    let tracksOrigins: Bool
    var symbols = SymbolList()
    var run = TokenRun()
    var offsets: [Range<Int>] = []

    init(cache: WordCache, tracksOrigins: Bool) {
        self.cache = cache
        self.tracksOrigins = tracksOrigins
    }

    mutating func append(_ id: Int32, offset: Range<Int>) {
        run.append(id)
        if tracksOrigins { offsets.append(offset) }
    }

    var encoding: Encoding { Encoding(ids: run.ids, offsets: offsets) }
}
