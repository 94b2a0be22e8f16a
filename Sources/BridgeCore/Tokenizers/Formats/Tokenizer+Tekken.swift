import JSONTree

extension Tokenizer {
    /// Reads a `tekken.json`: byte-level BPE whose merges follow from the ranks of its tokens.
    public init(tekken path: String) throws(TokenizerError) {
        do {
            try self.init(tekken: try JSON(tokenizerFile: try TokenizerFile.contents(of: path)))
        } catch {
            throw error.inFile(path)
        }
    }

    init(tekken json: JSON) throws(TokenizerError) {
        let config = try json.required("config", in: "tekken").value
        let pattern = try config.required("pattern", in: "config").text
        let specialCount = try config.required("default_num_special_tokens", in: "config").tokenID
        let size = try config.required("default_vocab_size", in: "config").tokenID
        guard specialCount <= Self.mostTekkenSpecials else {
            throw TokenizerError(
                .tooLarge,
                "'config.default_num_special_tokens' is \(specialCount), expected at most \(Self.mostTekkenSpecials)"
            )
        }
        let entries = try json.required("vocab", in: "tekken").list
        guard size > specialCount, size - specialCount <= entries.count else {
            throw TokenizerError(
                .badFile,
                "the vocabulary has \(entries.count) entries, expected at least \(size) - \(specialCount) as in 'config'"
            )
        }
        let vocabulary = try Self.tekkenVocabulary(entries.prefix(size - specialCount), offset: specialCount)
        try vocabulary.checkSplits(of: (specialCount..<size).lazy.map { vocabulary[$0]?.count ?? 0 })
        var merges = MergeTable(capacity: min(entries.count * 3, 1 << 20))
        for id in specialCount..<size {
            guard let token = vocabulary[id] else { continue }
            let rank = UInt32(id - specialCount)
            for (left, right) in vocabulary.splits(of: Array(token), atCharacters: false) {
                merges.insert(left, right, rank: rank, result: Int32(id))
            }
            try merges.checkCount()
        }
        var encoder = BytePairEncoder(.bytes, vocabulary: vocabulary, merges: merges)
        encoder.prefersWholeWords = true
        encoder.prepare()
        guard !encoder.byteIDs.contains(-1) else {
            throw TokenizerError(.badFile, "the vocabulary does not hold all 256 bytes")
        }
        self.init(encoder: encoder, isByteLevel: true)
        preTokenizer = .split(.expression(try RegularExpression(pattern)), .isolated, inverted: false)
        decoder.steps = [.byteLevel]
        let specials = try Self.tekkenSpecials(json, count: specialCount)
        try add(specials)
        instructChat = InstructChat(
            versionName: config["version"]?.string ?? "",
            controlTokens: Set(specials.map(\.content))
        )
        largestImageSide = (json["image"] ?? json["multimodal"])?["max_image_size"]?.integer.flatMap {
            $0 > 0 ? $0 : nil
        }
        if let begin = id(of: "<s>") { postProcessor.prefix = [begin] }
    }

    /// The most special tokens, named or not.
    ///
    /// The files in use have 1,000. Each takes memory, and a file only states how many there are.
    private static let mostTekkenSpecials = 1 << 16

    private static func tekkenVocabulary(
        _ entries: ArraySlice<JSON>,
        offset: Int
    ) throws(TokenizerError) -> Vocabulary {
        var vocabulary = Vocabulary(capacity: entries.count + offset)
        for (index, entry) in entries.enumerated() {
            let rank = try entry.required("rank", in: "vocab").tokenID
            guard rank == index else {
                throw TokenizerError(
                    .badFile,
                    "entry \(index) of the vocabulary has the rank \(rank); expected \(index)"
                )
            }
            let encoded = try entry.required("token_bytes", in: "vocab").text
            guard let bytes = Base64.decode(Array(encoded.utf8)), !bytes.isEmpty else {
                throw TokenizerError(.badFile, "entry \(index) of the vocabulary has no base64 in 'token_bytes'")
            }
            vocabulary.insert(bytes, id: rank + offset)
        }
        return vocabulary
    }

    /// The control tokens that every file of the first versions had without naming them.
    private static let firstSpecials = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
        "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    ]

    private static func tekkenSpecials(_ json: JSON, count: Int) throws(TokenizerError) -> [AddedToken] {
        var names: [Int: String] = [:]
        if let listed = json["special_tokens"], !listed.isNull {
            for entry in try RequiredField(value: listed, name: "special_tokens").list {
                let id = try entry.required("rank", in: "special_tokens").tokenID
                guard id < count, names[id] == nil else {
                    throw TokenizerError(.badFile, "the special token \(id) occurs twice or is not below \(count)")
                }
                names[id] = try entry.required("token_str", in: "special_tokens").text
            }
        } else {
            for (id, name) in firstSpecials.enumerated() where id < count { names[id] = name }
        }
        return (0..<count).map { id in
            var token = AddedToken(id: id, content: names[id] ?? "<SPECIAL_\(id)>")
            token.isSpecial = true
            return token
        }
    }
}
