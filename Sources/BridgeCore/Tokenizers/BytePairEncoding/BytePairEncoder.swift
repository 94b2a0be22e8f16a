/// The model of a tokenizer: splits a word into symbols and merges them.
struct BytePairEncoder: Sendable {
    /// The kind of the first symbols of a word.
    enum Alphabet: Sendable {
        /// Single bytes.
        case bytes
        /// Single characters, which may fall back to bytes.
        case characters
    }

    var alphabet: Alphabet
    /// The ids by the bytes of a token in a text.
    var vocabulary: Vocabulary
    var merges: MergeTable
    /// The token for what is not in the vocabulary.
    var unknown: Int32?
    var fusesUnknown = false
    /// Whether a character that is not in the vocabulary becomes the tokens of its bytes.
    var fallsBackToBytes = false
    /// Whether a word that is a token as a whole stays one, whatever the merges say.
    var prefersWholeWords = false
    /// Tokens that a text never becomes by being spelled out.
    var hidden: Set<Int32> = []
    /// The prefix of every symbol except the first of a word.
    var continuingPrefix: [UInt8] = []
    /// Appended to the last symbol of a word.
    var endOfWordSuffix: [UInt8] = []

    /// The id of each single byte in the byte alphabet, -1 for none.
    private(set) var byteIDs: [Int32] = []
    /// The id of each `<0xNN>`, empty where one is missing or nothing falls back.
    private(set) var fallbackIDs: [Int32] = []
    /// Whether a text may be split before a "▁" that follows a given byte: no token spans the two.
    private(set) var cutsBeforeMetaspace: [Bool] = []

    static let metaspace: [UInt8] = [0xE2, 0x96, 0x81]

    init(_ alphabet: Alphabet, vocabulary: Vocabulary, merges: MergeTable) {
        self.alphabet = alphabet
        self.vocabulary = vocabulary
        self.merges = merges
    }

    /// Fills the tables that follow from the rest.
    ///
    /// To be called once all is set.
    mutating func prepare() {
        byteIDs = (0...255).map { byte in Int32(vocabulary.id(of: [UInt8(byte)]) ?? -1) }
        fallbackIDs = (0...255).map { byte in Int32(vocabulary.id(of: Self.fallbackToken(UInt8(byte))) ?? -1) }
        guard alphabet == .characters, !prefersWholeWords, continuingPrefix.isEmpty, endOfWordSuffix.isEmpty,
            vocabulary.id(of: Self.metaspace) != nil
        else { return }
        var cuts = [Bool](repeating: true, count: 256)
        for id in 0..<vocabulary.upperBound {
            guard let token = vocabulary[id], token.count > 3 else { continue }
            for index in token.indices.dropFirst() where token[index] == 0xE2 {
                if token[index...].starts(with: Self.metaspace) { cuts[Int(token[index - 1])] = false }
            }
        }
        cutsBeforeMetaspace = cuts
    }

    /// `<0x0A>` for the byte 10.
    static func fallbackToken(_ byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]] + Array(">".utf8)
    }

    /// Encodes one word, which no pre-tokenizer splits further.
    ///
    /// `emit` gets ids and how many bytes each covers.
    func encode(
        _ word: UnsafeBufferPointer<UInt8>,
        cache: WordCache,
        symbols: inout SymbolList,
        into output: inout TokenRun
    ) throws(TokenizerError) {
        guard !cutsBeforeMetaspace.isEmpty else {
            return try encodeCached(word, cache: cache, symbols: &symbols, into: &output)
        }
        var start = 0
        var index = 1
        while index < word.count {
            if word[index] == 0xE2, index + 2 < word.count, word[index + 1] == 0x96, word[index + 2] == 0x81,
                cutsBeforeMetaspace[Int(word[index - 1])]
            {
                let part = UnsafeBufferPointer(rebasing: word[start..<index])
                try encodeCached(part, cache: cache, symbols: &symbols, into: &output)
                start = index
            }
            index += 1
        }
        let part = UnsafeBufferPointer(rebasing: word[start...])
        try encodeCached(part, cache: cache, symbols: &symbols, into: &output)
    }

    private func encodeCached(
        _ word: UnsafeBufferPointer<UInt8>,
        cache: WordCache,
        symbols: inout SymbolList,
        into output: inout TokenRun
    ) throws(TokenizerError) {
        guard word.count > 0 else { return }
        guard word.count <= WordCache.longestWord else {
            try split(word, into: &symbols)
            output.append(symbols)
            return
        }
        let hash = ByteHash.hash(word, seed: cache.seed)
        if let range = cache.tokens(of: word, hash: hash) {
            output.append(cache, range)
            return
        }
        try split(word, into: &symbols)
        output.append(symbols)
        cache.insert(word, hash: hash, ids: symbols.ids, lengths: symbols.lengths)
    }

    private func split(_ word: UnsafeBufferPointer<UInt8>, into symbols: inout SymbolList) throws(TokenizerError) {
        symbols.removeAll()
        // Each byte of a word takes some forty of memory while its symbols merge.
        guard word.count <= EncodingBudget.textBytes else {
            throw TokenizerError(
                .tooLarge,
                "the text has a word of \(word.count) bytes; at most \(EncodingBudget.textBytes) are encoded, so split it"
            )
        }
        if prefersWholeWords {
            let whole = vocabulary.id(of: word)
            if whole >= 0 {
                symbols.append(whole, length: word.count)
                return
            }
        }
        var pending = PendingUnknown()
        switch alphabet {
        case .bytes where continuingPrefix.isEmpty && endOfWordSuffix.isEmpty:
            for byte in word {
                let id = byteIDs[Int(byte)]
                if id >= 0 {
                    pending.flush(into: &symbols)
                    symbols.append(id, length: 1)
                } else {
                    try addUnknown(1, &pending, &symbols)
                }
            }
        default:
            try splitCharacters(word, &pending, into: &symbols)
        }
        pending.flush(into: &symbols)
        symbols.mergeAll(merges)
    }

    private func splitCharacters(
        _ word: UnsafeBufferPointer<UInt8>,
        _ pending: inout PendingUnknown,
        into symbols: inout SymbolList
    ) throws(TokenizerError) {
        let isPlain = continuingPrefix.isEmpty && endOfWordSuffix.isEmpty
        var start = 0
        while start < word.count {
            var end = start + 1
            if alphabet == .characters { while end < word.count, word[end] & 0xC0 == 0x80 { end += 1 } }
            let character = UnsafeBufferPointer(rebasing: word[start..<end])
            var id: Int32
            if isPlain {
                id = vocabulary.id(of: character)
            } else {
                let decorated =
                    (start > 0 ? continuingPrefix : []) + Array(character) + (end == word.count ? endOfWordSuffix : [])
                id = decorated.withUnsafeBufferPointer { vocabulary.id(of: $0) }
            }
            if id >= 0, hidden.isEmpty || !hidden.contains(id) {
                pending.flush(into: &symbols)
                symbols.append(id, length: end - start)
            } else if fallsBackToBytes, character.allSatisfy({ fallbackIDs[Int($0)] >= 0 }) {
                // Like Python's tokenizers, this does not flush a pending unknown.
                for byte in character { symbols.append(fallbackIDs[Int(byte)], length: 1) }
            } else {
                try addUnknown(end - start, &pending, &symbols)
            }
            start = end
        }
    }

    private func addUnknown(
        _ length: Int,
        _ pending: inout PendingUnknown,
        _ symbols: inout SymbolList
    ) throws(TokenizerError) {
        guard let unknown else { return }
        if !fusesUnknown { pending.flush(into: &symbols) }
        pending.id = unknown
        pending.length += length
    }

    /// Characters without a token that wait to become one unknown token.
    private struct PendingUnknown {
        var id: Int32?
        var length = 0

        mutating func flush(into symbols: inout SymbolList) {
            guard let waiting = id else { return }
            symbols.append(waiting, length: length)
            id = nil
            length = 0
        }
    }
}

/// The tokens of a text so far: ids, and how many bytes of the text each covers.
struct TokenRun {
    private(set) var ids: [Int32] = []
    private(set) var lengths: [Int32] = []

    mutating func append(_ id: Int32) {
        ids.append(id)
        lengths.append(0)
    }

    mutating func append(_ symbols: SymbolList) {
        ids.append(contentsOf: symbols.ids)
        lengths.append(contentsOf: symbols.lengths)
    }

    @inline(__always)
    mutating func append(_ cache: WordCache, _ range: Range<Int>) {
        ids.append(contentsOf: cache.ids[range])
        lengths.append(contentsOf: cache.lengths[range])
    }
}
