import BridgeSupport
import CheckpointFormats
import Tokenizers

/// The tokenizer of a GGUF file.
///
/// Source: `llama_vocab::impl::load` in src/llama-vocab.cpp of llama.cpp, in llama-cpp-python 0.3.36.
struct GGUFTokenizer {
    /// The keys.
    let keys: GGUFModel.Keys
    /// What llama.cpp may do in another way.
    let notes: [String]

    /// llama.cpp's names of regular expressions that split a text.
    private static let patterns = [
        (
            name: "tekken",
            pattern: #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
                + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
                + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        )
    ]

    private static let roles = [
        ("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"), ("unk_token", "unknown_token_id"),
        ("pad_token", "padding_token_id"),
    ]

    /// The tokenizer for a model.
    ///
    /// - Parameters:
    ///   - tokenizer: The tokenizer.
    ///   - size: The rows of the embedding; ids without a token are unused.
    ///   - name: The directory, for messages.
    /// - Throws: `BridgeError` with what llama.cpp cannot do.
    init(_ tokenizer: Tokenizer, size: Int, name: String) throws {
        let contents = tokenizer.contents
        var (keys, notes): (GGUFModel.Keys, [String]) = ([], [])
        var problems = contents.otherSteps
        func add(_ key: String, _ value: GGUFValue) { keys.append(("tokenizer.\(key)", value)) }
        var tokens = contents.tokens
        if tokens.count > size {
            problems.append("\(tokens.count) tokens, more than the \(size) rows of the embedding")
        }
        tokens += (tokens.count..<max(size, tokens.count)).map { _ in .init(text: [], kind: .unused) }
        var seen: Set<[UInt8]> = []
        for index in tokens.indices {
            // llama.cpp needs a text for each id, all of them different.
            if tokens[index].text.isEmpty { tokens[index].text = Array("[PAD\(index)]".utf8) }
            if !seen.insert(tokens[index].text).inserted {
                problems.append("the text of token \(index) twice")
            }
        }
        switch contents.alphabet {
        case .bytes(let pattern):
            let known = Self.patterns.first { $0.pattern == pattern }
            if known == nil { problems.append("the regular expression \(pattern ?? "none")") }
            add("ggml.model", .text("gpt2"))
            add("ggml.pre", .text(known?.name ?? ""))
        case .characters(let prependsSpace, let mergesSpaces):
            add("ggml.model", .text("llama"))
            add("ggml.pre", .text("default"))
            add("ggml.add_space_prefix", .flag(prependsSpace))
            add("ggml.remove_extra_whitespaces", .flag(mergesSpaces))
            // Where spaces are marked, those of added tokens are not.
            for index in tokens.indices where tokens[index].kind == .added {
                let text = String(decoding: tokens[index].text, as: UTF8.self)
                tokens[index].text = Array(text.replacing("▁", with: " ").utf8)
            }
            if contents.unmergedPairs > 0 {
                notes.append(
                    "llama.cpp merges \(contents.unmergedPairs) pairs of tokens that the tokenizer does not, because together they "
                        + "are the text of a token"
                )
            }
        }
        add("ggml.tokens", .texts(tokens.map(\.text)))
        if case .characters = contents.alphabet {
            add("ggml.scores", .numbers(Self.scores(contents, count: tokens.count)))
        }
        add("ggml.token_type", .integers(tokens.map { $0.kind.number }))
        if case .bytes = contents.alphabet {
            let pairs = contents.merges.map { tokens[Int($0.left)].text + [0x20] + tokens[Int($0.right)].text }
            add("ggml.merges", .texts(pairs))
        }
        var ids: [String: Int32] = [:]
        for (role, key) in Self.roles {
            guard let token = tokenizer.settings.specialTokens[role], let id = tokenizer.id(of: token) else { continue }
            ids[role] = id
            add("ggml.\(key)", .count(Int(id)))
        }
        for (around, role, key) in [
            (contents.prefix, "bos_token", "add_bos_token"), (contents.suffix, "eos_token", "add_eos_token"),
        ] {
            if !around.isEmpty, around != [ids[role] ?? -1] {
                problems.append("other tokens around a text than one \(role)")
            }
            add("ggml.\(key)", .flag(!around.isEmpty))
        }
        let templates = tokenizer.settings.chatTemplates
        if let template = templates["default"] { add("chat_template", .text(template)) }
        let others = templates.keys.filter { $0 != "default" }.sorted()
        for other in others { add("chat_template.\(other)", .text(templates[other] ?? "")) }
        if !others.isEmpty { add("chat_templates", .texts(others.map { Array($0.utf8) })) }
        if templates.isEmpty { notes.append("the tokenizer has no chat template, so the GGUF file has none") }
        guard problems.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "the tokenizer in \(name) has what llama.cpp cannot do, so nothing was written",
                names: problems
            )
        }
        (self.keys, self.notes) = (keys, notes)
    }

    /// llama.cpp merges the pair whose token has the highest score.
    private static func scores(_ contents: TokenizerContents, count: Int) -> [Float] {
        // No pair becomes a single character or an added token.
        var scores = [Float](repeating: -Float(contents.merges.count + 1), count: count)
        for (rank, merge) in contents.merges.enumerated().reversed() { scores[Int(merge.result)] = -Float(rank) }
        return scores
    }
}

extension TokenizerContents.Kind {
    /// The number in a file.
    ///
    /// Source: `llama_token_type` in llama.h.
    fileprivate var number: Int32 {
        switch self {
        case .normal: 1
        case .unknown: 2
        case .control: 3
        case .added: 4
        case .unused: 5
        case .byte: 6
        }
    }
}
