import JSONTree

extension PreTokenizer {
    /// The settings of a `pre_tokenizer`: how to split, and whether the bytes are the model's alphabet.
    struct Description {
        var steps: [PreTokenizer] = []
        var isByteLevel = false
    }

    /// The expression of `ByteLevel` when it splits by itself.
    static let byteLevelExpression =
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// Reads the `pre_tokenizer` of a `tokenizer.json`.
    static func describe(_ json: JSON?) throws(TokenizerError) -> Description {
        var description = Description()
        guard let json, !json.isNull else { return description }
        try read(json, into: &description)
        return description
    }

    private static func read(_ json: JSON, into description: inout Description) throws(TokenizerError) {
        let type = try json.required("type", in: "pre_tokenizer").text
        guard !description.isByteLevel else {
            throw TokenizerError(.unsupported, "the pre-tokenizer '\(type)' after 'ByteLevel' is not supported")
        }
        switch type {
        case "Sequence":
            for step in try json.required("pretokenizers", in: type).steps { try read(step, into: &description) }
            guard description.steps.count <= EncodingBudget.mostSteps else {
                throw TokenizerError(
                    .tooLarge,
                    "'pre_tokenizer' has more than the \(EncodingBudget.mostSteps) steps that are run"
                )
            }
        case "Split":
            let behavior = try Self.behavior(try json.required("behavior", in: type).text)
            let pattern = try TextPattern(json: json["pattern"], in: type)
            description.steps.append(.split(pattern, behavior, inverted: json["invert"]?.bool ?? false))
        case "ByteLevel":
            if json["add_prefix_space"]?.bool ?? true { description.steps.append(.prefixSpace) }
            if json["use_regex"]?.bool ?? true {
                description.steps.append(try expression(byteLevelExpression, .isolated))
            }
            description.isByteLevel = true
        case "Metaspace":
            description.steps.append(try metaspace(json))
        case "Whitespace":
            // The word characters of Rust's expressions, which are not those of Oniguruma.
            let word = #"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}"#
            description.steps.append(try expression("[\(word)]+|[^\(word)\\s]+", .removed, inverted: true))
        case "WhitespaceSplit":
            description.steps.append(try expression(#"\s"#, .removed))
        case "Digits":
            let isIndividual = json["individual_digits"]?.bool ?? false
            description.steps.append(try expression(#"\p{N}"#, isIndividual ? .isolated : .contiguous))
        case "CharDelimiterSplit":
            let delimiter = try json.required("delimiter", in: type).text
            description.steps.append(.split(.literal(Array(delimiter.utf8)), .removed, inverted: false))
        default:
            throw TokenizerError(.unsupported, "the pre-tokenizer '\(type)' is not supported")
        }
    }

    private static func expression(
        _ pattern: String,
        _ behavior: Behavior,
        inverted: Bool = false
    ) throws(TokenizerError) -> PreTokenizer {
        .split(.expression(try RegularExpression(pattern)), behavior, inverted: inverted)
    }

    private static func behavior(_ name: String) throws(TokenizerError) -> Behavior {
        guard let behavior = Behavior(rawValue: name) else {
            throw TokenizerError(.unsupported, "the split behavior '\(name)' is not supported")
        }
        return behavior
    }

    private static func metaspace(_ json: JSON) throws(TokenizerError) -> PreTokenizer {
        let replacement = json["replacement"]?.string ?? "\u{2581}"
        guard replacement.unicodeScalars.count == 1 else {
            throw TokenizerError(.badFile, "'Metaspace.replacement' is '\(replacement)'; expected one character")
        }
        return .metaspace(replacement: Array(replacement.utf8), try scheme(json), splits: json["split"]?.bool ?? true)
    }

    /// The prepend scheme, also from the older `add_prefix_space`.
    static func scheme(_ json: JSON) throws(TokenizerError) -> PrependScheme {
        if let name = json["prepend_scheme"]?.string {
            guard let scheme = PrependScheme(rawValue: name) else {
                throw TokenizerError(.unsupported, "the prepend scheme '\(name)' of 'Metaspace' is not supported")
            }
            return scheme
        }
        return json["add_prefix_space"]?.bool ?? true ? .always : .never
    }
}
