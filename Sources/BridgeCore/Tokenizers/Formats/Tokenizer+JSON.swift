import JSONTree

extension Tokenizer {
    /// Reads a `tokenizer.json` of Hugging Face's tokenizers; of its model types, BPE.
    public init(tokenizerJSON path: String) throws(TokenizerError) {
        do {
            try self.init(json: try JSON(tokenizerFile: try TokenizerFile.contents(of: path)))
        } catch {
            throw error.inFile(path)
        }
    }

    /// Reads a directory's `tokenizer.json` as the class of a model's tokenizer does.
    ///
    /// - Returns: The tokenizer, and the class; nil where the file is used as it is.
    static func read(
        tokenizerJSON path: String,
        registered: TokenizerClass?,
        directory: String
    ) throws(TokenizerError) -> (Tokenizer, TokenizerClass?) {
        let configuration = try TokenizerSettings.json(directory, "tokenizer_config.json") ?? .object(JSONObject())
        let model = try registered == nil ? nil : TokenizerSettings.json(directory, "config.json")
        do {
            let json = try JSON(tokenizerFile: try TokenizerFile.contents(of: path))
            // What cannot be described is an error where it is read.
            let isByteLevel = (try? PreTokenizer.describe(json["pre_tokenizer"]))?.isByteLevel ?? false
            let kind = TokenizerClass.chosen(by: configuration, registered: registered, isByteLevel: isByteLevel).class
            let own = kind?.applied(to: json, configuration: configuration, model: model ?? .null)
            return (try Tokenizer(json: own ?? json), kind)
        } catch {
            throw error.inFile(path)
        }
    }

    init(json: JSON) throws(TokenizerError) {
        let model = try json.required("model", in: "tokenizer.json").value
        if let type = model["type"]?.string, type != "BPE" {
            throw TokenizerError(.unsupported, "the tokenizer model is of type '\(type)'; only BPE is supported")
        }
        if let dropout = model["dropout"]?.double, dropout != 0 {
            throw TokenizerError(
                .unsupported,
                "the tokenizer model has the dropout \(dropout), so it is not deterministic"
            )
        }
        let splitting = try PreTokenizer.describe(json["pre_tokenizer"])
        let parts = try BytePairModelReader(model, isByteLevel: splitting.isByteLevel)
        self.init(encoder: parts.encoder, isByteLevel: splitting.isByteLevel)
        unreachable = parts.unreachable
        normalizer = try Normalizer(json: json["normalizer"])
        preTokenizer = splitting.steps.isEmpty ? nil : .sequence(splitting.steps)
        postProcessor = try PostProcessor(json: json["post_processor"])
        decoder = try Decoder(json: json["decoder"])
        if let added = json["added_tokens"], !added.isNull {
            var list = AddedTokenList(self)
            for entry in try RequiredField(value: added, name: "added_tokens").list {
                let id = try entry.required("id", in: "added_tokens").tokenID
                for flag in AddedToken.flags where entry[flag] == nil {
                    throw TokenizerError(
                        .badFile,
                        "'added_tokens' has the token \(id) without '\(flag)', which has to be true or false; add it"
                    )
                }
                list.add(try AddedToken(json: entry, id: id))
            }
            try add(list.tokens)
        }
    }
}

extension AddedToken {
    /// The flags of a token; an entry of `added_tokens` in a `tokenizer.json` has all of them, as tokenizers requires.
    static let flags = ["single_word", "lstrip", "rstrip", "normalized", "special"]

    /// Reads a token with its flags.
    ///
    /// Without `normalized` a token is searched in the normalized text unless it is special, as in tokenizers.
    init(json: JSON, id: Int) throws(TokenizerError) {
        self.init(id: id, content: try json.required("content", in: "added token \(id)").text)
        var values: [String: Bool] = [:]
        for flag in Self.flags {
            guard let value = json[flag] else { continue }
            guard let flagValue = value.bool else {
                throw TokenizerError(
                    .badFile,
                    "'\(flag)' of added token \(id) is \(value.kind); expected true or false"
                )
            }
            values[flag] = flagValue
        }
        isSingleWord = values["single_word"] ?? false
        stripsLeft = values["lstrip"] ?? false
        stripsRight = values["rstrip"] ?? false
        isSpecial = values["special"] ?? false
        isNormalized = values["normalized"] ?? !isSpecial
    }
}

/// Reads the `model` of a `tokenizer.json`.
struct BytePairModelReader {
    private(set) var encoder: BytePairEncoder
    /// Tokens spelled outside of the byte alphabet.
    private(set) var unreachable: [Int: [UInt8]] = [:]

    init(_ json: JSON, isByteLevel: Bool) throws(TokenizerError) {
        let entries = try json.required("vocab", in: "model").members
        var vocabulary = Vocabulary(capacity: entries.count)
        var used = Set<Int>(minimumCapacity: entries.count)
        var bytes: [UInt8] = []
        for (token, value) in entries {
            let id = try RequiredField(value: value, name: "model.vocab").tokenID
            guard used.insert(id).inserted else {
                throw TokenizerError(.badFile, "two tokens of 'model.vocab' have the id \(id)")
            }
            bytes.removeAll(keepingCapacity: true)
            if !isByteLevel {
                vocabulary.insert(token.utf8, id: id)
            } else if ByteAlphabet.append(token, to: &bytes) {
                vocabulary.insert(bytes, id: id)
            } else {
                unreachable[id] = Array(token.utf8)
            }
        }
        let prefix = json["continuing_subword_prefix"]?.string ?? ""
        let merges = try Self.merges(json, vocabulary, isByteLevel: isByteLevel, prefix: Array(prefix.utf8))
        encoder = BytePairEncoder(isByteLevel ? .bytes : .characters, vocabulary: vocabulary, merges: merges)
        if let name = json["unk_token"]?.string {
            let spelling = isByteLevel ? ByteAlphabet.decode(name) : Array(name.utf8)
            encoder.unknown = spelling.flatMap { vocabulary.id(of: $0) }.map { Int32($0) }
        }
        encoder.fusesUnknown = json["fuse_unk"]?.bool ?? false
        encoder.fallsBackToBytes = !isByteLevel && json["byte_fallback"]?.bool ?? false
        encoder.prefersWholeWords = json["ignore_merges"]?.bool ?? false
        encoder.continuingPrefix = Array(prefix.utf8)
        encoder.endOfWordSuffix = Array((json["end_of_word_suffix"]?.string ?? "").utf8)
        guard !isByteLevel || encoder.continuingPrefix.isEmpty && encoder.endOfWordSuffix.isEmpty else {
            throw TokenizerError(.unsupported, "prefixes and suffixes of symbols are not supported with 'ByteLevel'")
        }
        encoder.prepare()
    }

    private static func merges(
        _ json: JSON,
        _ vocabulary: Vocabulary,
        isByteLevel: Bool,
        prefix: [UInt8]
    ) throws(TokenizerError) -> MergeTable {
        let list = try json.required("merges", in: "model").list
        var table = MergeTable(capacity: list.count)
        var bytes: [UInt8] = []
        /// Appends the bytes of a token.
        func append(_ token: String) -> Bool {
            if isByteLevel { return ByteAlphabet.append(token, to: &bytes) }
            bytes.append(contentsOf: token.utf8)
            return true
        }
        /// The ids of the left token, the right one and what they become, from the bytes of both one after the other.
        func ids(_ leftCount: Int) -> (left: Int32, right: Int32, result: Int32) {
            let (left, right) = bytes.withUnsafeBufferPointer { both in
                (
                    vocabulary.id(of: UnsafeBufferPointer(rebasing: both[..<leftCount])),
                    vocabulary.id(of: UnsafeBufferPointer(rebasing: both[leftCount...]))
                )
            }
            if !prefix.isEmpty { bytes.removeSubrange(leftCount..<min(leftCount + prefix.count, bytes.count)) }
            return (left, right, bytes.withUnsafeBufferPointer { vocabulary.id(of: $0) })
        }
        for (rank, entry) in list.enumerated() {
            guard let (left, right) = pair(entry) else {
                throw TokenizerError(.badFile, "merge \(rank) is not a pair of tokens")
            }
            bytes.removeAll(keepingCapacity: true)
            var found = (left: Int32(-1), right: Int32(-1), result: Int32(-1))
            if append(left) {
                let leftCount = bytes.count
                if append(right) { found = ids(leftCount) }
            }
            guard found.left >= 0, found.right >= 0, found.result >= 0 else {
                throw TokenizerError(.badFile, "merge \(rank), '\(left)' and '\(right)', is not in the vocabulary")
            }
            table.insert(found.left, found.right, rank: UInt32(rank), result: found.result)
        }
        return table
    }

    /// Reads `["a", "b"]`, or `"a b"` as older files have it.
    private static func pair(_ entry: JSON) -> (String, String)? {
        if let pair = entry.array, pair.count == 2, let left = pair[0].string, let right = pair[1].string {
            return (left, right)
        }
        let parts = entry.string?.split(separator: " ", omittingEmptySubsequences: false) ?? []
        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
    }
}
