import JSONTree

/// Adds the tokens around an encoded text that the model expects, such as the one that begins a sequence.
struct PostProcessor: Sendable, Equatable {
    /// The ids before the text.
    var prefix: [Int32] = []
    /// The ids after the text.
    var suffix: [Int32] = []

    init(prefix: [Int32] = [], suffix: [Int32] = []) {
        self.prefix = prefix
        self.suffix = suffix
    }

    /// Reads the `post_processor` of a `tokenizer.json`.
    init(json: JSON?) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        let type = try json.required("type", in: "post_processor").text
        switch type {
        case "Sequence":
            for step in try json.required("processors", in: type).list {
                let inner = try PostProcessor(json: step)
                if !inner.prefix.isEmpty { prefix = inner.prefix + prefix }
                suffix += inner.suffix
                try checkCount()
            }
        case "ByteLevel":
            // It only trims the offsets that are reported.
            break
        case "TemplateProcessing":
            try readTemplate(json)
        case "RobertaProcessing", "BertProcessing":
            prefix = [try Self.pairID(json, "cls")]
            suffix = [try Self.pairID(json, "sep")]
        default:
            throw TokenizerError(.unsupported, "the post-processor '\(type)' is not supported")
        }
    }

    private static func pairID(_ json: JSON, _ key: String) throws(TokenizerError) -> Int32 {
        guard let id = json[key]?.array?.last?.integer, (0...RequiredField.largestID).contains(id) else {
            throw TokenizerError(.badFile, "'post_processor.\(key)' is not a pair of a token and its id")
        }
        return Int32(id)
    }

    /// Each text gets them, so that a file with a million of them would take as much for every line.
    private static var tooMany: TokenizerError {
        TokenizerError(
            .tooLarge,
            "'post_processor' puts more than the \(EncodingBudget.mostSurroundingTokens) tokens around a text that are allowed"
        )
    }

    private func checkCount() throws(TokenizerError) {
        guard prefix.count + suffix.count <= EncodingBudget.mostSurroundingTokens else { throw Self.tooMany }
    }

    private mutating func readTemplate(_ json: JSON) throws(TokenizerError) {
        let specials = try json.required("special_tokens", in: "TemplateProcessing")
        var hasText = false
        for item in try json.required("single", in: "TemplateProcessing").list {
            if item["Sequence"] != nil {
                hasText = true
                continue
            }
            guard let name = item["SpecialToken"]?["id"]?.string else {
                throw TokenizerError(
                    .badFile,
                    "'TemplateProcessing.single' holds neither a Sequence nor a SpecialToken"
                )
            }
            guard let ids = specials.value[name]?["ids"]?.array else {
                throw TokenizerError(.badFile, "'TemplateProcessing.special_tokens' has no ids for '\(name)'")
            }
            guard ids.count <= EncodingBudget.mostSurroundingTokens else { throw Self.tooMany }
            try checkCount()
            for value in ids {
                let id = Int32(try RequiredField(value: value, name: "TemplateProcessing.special_tokens").tokenID)
                if hasText { suffix.append(id) } else { prefix.append(id) }
            }
        }
        try checkCount()
        guard hasText else {
            throw TokenizerError(.badFile, "'TemplateProcessing.single' has no Sequence, so it would drop the text")
        }
    }
}
