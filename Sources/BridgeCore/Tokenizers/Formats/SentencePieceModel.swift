/// The content of a `tokenizer.model`, SentencePiece's protobuf message `ModelProto`.
struct SentencePieceModel: Sendable {
    /// The type of a piece.
    enum Kind: Int, Sendable {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    /// One entry of the vocabulary; its index is its id.
    struct Piece: Sendable {
        var content: [UInt8] = []
        var score: Float = 0
        var kind = Kind.normal
    }

    var pieces: [Piece] = []
    /// 1 is unigram, 2 is BPE, 3 words, 4 characters.
    var modelType = 1
    var normalizer = SentencePieceNormalizer()
    /// The text of the unknown piece in decoding.
    var unknownSurface = Array(" \u{2047} ".utf8)

    init(_ bytes: [UInt8]) throws(TokenizerError) {
        var reader = ProtobufReader(bytes[...], name: "ModelProto")
        while let (number, value) = try reader.next() {
            switch (number, value.bytes) {
            case (1, let content?):
                guard pieces.count < RequiredField.largestID else {
                    throw TokenizerError(.badFile, "the model has more than \(RequiredField.largestID) pieces")
                }
                pieces.append(try Self.piece(content))
            case (2, let content?): try readTrainer(content)
            case (3, let content?): try readNormalizer(content)
            default: break
            }
        }
        guard !pieces.isEmpty else {
            throw TokenizerError(.badFile, "is not a SentencePiece model: it has no pieces")
        }
    }

    private static func piece(_ bytes: ArraySlice<UInt8>) throws(TokenizerError) -> Piece {
        var piece = Piece()
        var reader = ProtobufReader(bytes, name: "SentencePiece")
        while let (number, value) = try reader.next() {
            switch number {
            case 1: piece.content = value.bytes.map(Array.init) ?? []
            case 2: piece.score = value.float ?? 0
            case 3:
                guard let kind = value.integer.flatMap(Kind.init) else {
                    throw TokenizerError(.badFile, "a piece of the SentencePiece model has an unknown type")
                }
                piece.kind = kind
            default: break
            }
        }
        guard String(validating: piece.content, as: UTF8.self) != nil else {
            throw TokenizerError(.badFile, "a piece of the SentencePiece model is not UTF-8")
        }
        return piece
    }

    private mutating func readTrainer(_ bytes: ArraySlice<UInt8>) throws(TokenizerError) {
        var reader = ProtobufReader(bytes, name: "TrainerSpec")
        while let (number, value) = try reader.next() {
            switch number {
            case 3: modelType = value.integer ?? modelType
            case 44: unknownSurface = value.bytes.map(Array.init) ?? unknownSurface
            case 24: normalizer.dummyIsSuffix = value.bool ?? false
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ bytes: ArraySlice<UInt8>) throws(TokenizerError) {
        var reader = ProtobufReader(bytes, name: "NormalizerSpec")
        while let (number, value) = try reader.next() {
            switch number {
            case 2:
                guard let map = value.bytes, !map.isEmpty else { break }
                normalizer.characterMap = try PrecompiledCharacterMap(Array(map))
            case 3: normalizer.addsDummyPrefix = value.bool ?? true
            case 4: normalizer.removesExtraSpaces = value.bool ?? true
            case 5: normalizer.escapesSpaces = value.bool ?? true
            default: break
            }
        }
    }
}

extension Tokenizer {
    /// Reads a `tokenizer.model` of SentencePiece; of its model types, BPE.
    public init(sentencePieceModel path: String) throws(TokenizerError) {
        do {
            try self.init(sentencePieceModel: try SentencePieceModel(try TokenizerFile.contents(of: path)))
        } catch {
            throw error.inFile(path)
        }
    }

    init(sentencePieceModel model: SentencePieceModel) throws(TokenizerError) {
        guard model.modelType == 2 else {
            let names = [1: "unigram", 3: "word", 4: "char"]
            let name = names[model.modelType] ?? "number \(model.modelType)"
            throw TokenizerError(.unsupported, "the SentencePiece model is of type \(name); only BPE is supported")
        }
        var vocabulary = Vocabulary(capacity: model.pieces.count)
        for (id, piece) in model.pieces.enumerated() { vocabulary.insert(piece.content, id: id) }
        let merges = try Self.merges(of: model, vocabulary)
        var encoder = BytePairEncoder(.characters, vocabulary: vocabulary, merges: merges)
        encoder.unknown = model.pieces.firstIndex { $0.kind == .unknown }.map { Int32($0) }
        encoder.fusesUnknown = true
        encoder.fallsBackToBytes = model.pieces.contains { $0.kind == .byte }
        encoder.hidden = Set(
            model.pieces.indices.filter { [.control, .unknown, .byte].contains(model.pieces[$0].kind) }.map {
                Int32($0)
            }
        )
        encoder.prepare()
        self.init(encoder: encoder, isByteLevel: false)

        var tokens: [AddedToken] = []
        var normalizer = model.normalizer
        var protected: [(token: AddedToken, content: [UInt8])] = []
        for (id, piece) in model.pieces.enumerated() {
            var token = AddedToken(id: id, content: String(decoding: piece.content, as: UTF8.self))
            switch piece.kind {
            case .unknown:
                surfaces[id] = model.unknownSurface
                continue
            case .control:
                token.isSpecial = true
            case .userDefined:
                token.isNormalized = true
                protected.append((token, piece.content))
            default:
                continue
            }
            tokens.append(token)
        }
        normalizer.protected = AddedTokenMatcher(protected)
        sentencePiece = normalizer
        try add(tokens)
        let mark = BytePairEncoder.metaspace
        let dropsLeading = normalizer.addsDummyPrefix || normalizer.removesExtraSpaces
        decoder.steps = [
            dropsLeading
                ? .sentencePiece(dropsAllLeading: normalizer.removesExtraSpaces)
                : .replace(.literal(mark), by: [0x20]),
            .byteFallback(wholeRuns: false),
        ]
        if let begin = id(of: "<s>") ?? id(of: "<bos>"), isSpecial(begin) { postProcessor.prefix = [begin] }
    }

    /// Any two neighbours whose concatenation is a piece are merged; the score gives the order.
    private static func merges(
        of model: SentencePieceModel,
        _ vocabulary: Vocabulary
    ) throws(TokenizerError) -> MergeTable {
        try vocabulary.checkSplits(of: model.pieces.lazy.map(\.content.count))
        let joinable = model.pieces.indices.filter { id in
            (model.pieces[id].kind == .normal || model.pieces[id].kind == .unused) && !model.pieces[id].score.isNaN
        }
        let scores = joinable.map { model.pieces[$0].score }.sorted(by: >)
        var ranks: [Float: UInt32] = [:]
        for score in scores where ranks[score] == nil { ranks[score] = UInt32(ranks.count) }
        var merges = MergeTable(capacity: joinable.count * 3)
        for id in joinable {
            let piece = model.pieces[id]
            guard let rank = ranks[piece.score] else { continue }
            for (left, right) in vocabulary.splits(of: piece.content, atCharacters: true) {
                guard model.pieces[Int(left)].isJoinable, model.pieces[Int(right)].isJoinable else { continue }
                merges.insert(left, right, rank: rank, result: Int32(id))
            }
            try merges.checkCount()
        }
        return merges
    }
}

extension SentencePieceModel.Piece {
    fileprivate var isJoinable: Bool { kind == .normal || kind == .unused }
}
