import BridgeSupport
public import JSONTree
import ModelSchema

/// The settings of `generation_config.json` that change which tokens are chosen, whatever the command line specifies.
///
/// Source: `GenerationConfig` in `generation/configuration_utils.py`, transformers 5.23.
public struct GenerationSettings: Sendable, Equatable {
    /// A sequence of tokens whose last one gets a bias where the others come before it.
    public struct Bias: Sendable, Equatable {
        /// The tokens.
        public var tokens: [Int32]
        /// The bias that is added to the logit of the last one.
        public var value: Float
    }

    /// Biases of sequences.
    public var sequenceBias: [Bias] = []
    /// The repetition penalty: logits of earlier tokens are divided by it, or multiplied if they are negative; 1 for
    /// none.
    public var repetitionPenalty: Float = 1
    /// The length of the sequences that may occur only once; 0 for no such rule.
    public var noRepeatNgramSize = 0
    /// Sequences that are never generated.
    public var badWords: [[Int32]] = []
    /// The fewest tokens of prompt and output together.
    public var minLength = 0
    /// The fewest new tokens.
    public var minNewTokens = 0
    /// The first new token after a prompt of one token.
    public var forcedBOS: Int32?
    /// The last token of an output of the maximum length.
    public var forcedEOS: [Int32] = []
    /// Whether logits that are not finite are replaced by finite ones.
    public var removesInvalidValues = false
    /// After how many new tokens the end becomes likelier, and by which factor with each further one.
    public var exponentialDecay: Decay?
    /// Tokens that are never generated.
    public var suppressTokens: [Int32] = []
    /// Tokens that are suppressed at the start of the output.
    public var beginSuppressTokens: [Int32] = []
    /// Texts that end the output.
    public var stopStrings: [String] = []
    /// The end-of-sequence tokens; a negative one is never generated.
    public var endTokens: [Int32] = []
    /// The most new tokens, if the caller does not set a limit.
    public var maxNewTokens: Int?
    /// The most tokens of prompt and output together, if the caller does not set a limit.
    public var maxLength: Int?
    /// The most seconds of a generation.
    public var maxTime: Double?
    /// The file's defaults for sampling.
    public var sampling = SamplingDefaults()

    /// The length penalty.
    public struct Decay: Sendable, Equatable {
        /// The number of new tokens before it starts.
        public var start: Int
        /// The factor of each further token.
        public var factor: Double
    }

    /// A file's defaults for sampling; greedy decoding uses none of them.
    public struct SamplingDefaults: Sendable, Equatable {
        /// Whether the file enables sampling.
        public var doSample = false
        /// The temperature.
        public var temperature: Float?
        /// The number of likeliest tokens to choose among.
        public var topK: Int?
        /// The probability of the tokens to choose among.
        public var topP: Float?
        /// The share of the likeliest token's probability.
        public var minP: Float?
        /// Settings that are not supported when tokens are sampled, with their values, for messages.
        public var unsupported: [String] = []

        /// The settings in one line, such as "temperature 0.15, top_k 64"; empty without any.
        public var summary: String {
            [
                temperature.map { "temperature \($0)" }, topK.map { "top_k \($0)" }, topP.map { "top_p \($0)" },
                minP.map { "min_p \($0)" },
            ].compactMap { $0 }.joined(separator: ", ")
        }
    }

    /// Settings that change nothing.
    public init() {}

    /// The settings of a file.
    ///
    /// - Parameters:
    ///   - json: The content of `generation_config.json`.
    ///   - name: The file, for messages.
    ///   - vocabulary: How many tokens the model has.
    /// - Throws: `BridgeError` for values of the wrong kind, for tokens outside the vocabulary, and for settings that
    ///   would change the result and are not supported.
    public init(_ json: JSON, name: String, vocabulary: Int) throws {
        try Self.table.check(json, name: name)
        var reader = GenerationReader(json: json, vocabulary: vocabulary)
        sequenceBias = reader.biases("sequence_bias")
        repetitionPenalty = reader.number("repetition_penalty", in: 1e-6...1e6).map { Float($0) } ?? 1
        noRepeatNgramSize = reader.count("no_repeat_ngram_size") ?? 0
        badWords = reader.sequences("bad_words_ids")
        minLength = reader.count("min_length") ?? 0
        minNewTokens = reader.count("min_new_tokens") ?? 0
        forcedBOS = reader.tokens("forced_bos_token_id").first
        forcedEOS = reader.tokens("forced_eos_token_id")
        removesInvalidValues = reader.flag("remove_invalid_values")
        exponentialDecay = reader.decay("exponential_decay_length_penalty")
        // A token that the model has not is never generated anyway, and transformers takes it too.
        suppressTokens = reader.tokens("suppress_tokens", mayBeUnknown: true)
        beginSuppressTokens = reader.tokens("begin_suppress_tokens", mayBeUnknown: true)
        stopStrings = reader.texts("stop_strings")
        endTokens = reader.tokens("eos_token_id", mayBeUnknown: true, mayBeNegative: true)
        maxNewTokens = reader.count("max_new_tokens")
        maxLength = reader.count("max_length")
        maxTime = reader.number("max_time", in: 0...1e9)
        sampling.doSample = reader.flag("do_sample")
        sampling.temperature = reader.number("temperature", in: 0...1e6).map { Float($0) }
        sampling.topK = reader.count("top_k")
        sampling.topP = reader.number("top_p", in: 0...1).map { Float($0) }
        sampling.minP = reader.number("min_p", in: 0...1).map { Float($0) }
        for (key, neutral) in [
            ("typical_p", [1.0]), ("epsilon_cutoff", [0, 1]), ("eta_cutoff", [0, 1]), ("top_h", []),
        ] {
            if let value = reader.number(key, in: 0...1), !neutral.contains(value) {
                sampling.unsupported.append("\(key) is \(value)")
            }
        }
        guard reader.problems.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has \(ByteFormat.counted(reader.problems.count, "setting")) with a value that cannot be used",
                names: reader.problems
            )
        }
    }
}

/// Reads values of `generation_config.json` and collects what is wrong with them; null counts as absent.
private struct GenerationReader {
    let json: JSON
    let vocabulary: Int
    private(set) var problems: [String] = []

    init(json: JSON, vocabulary: Int) {
        self.json = json
        self.vocabulary = vocabulary
    }

    private mutating func refuse<Value>(_ key: String, _ expected: String) -> Value? {
        let found = json[key].map { Setting.text($0) } ?? "absent"
        problems.append("\(key) is \(found.prefix(80)), expected \(expected)")
        return nil
    }

    mutating func number(_ key: String, in bounds: ClosedRange<Double>) -> Double? {
        guard let value = json[key]?.nonNull else { return nil }
        guard let number = value.double, bounds.contains(number) else {
            return refuse(key, "a number from \(bounds.lowerBound) to \(bounds.upperBound)")
        }
        return number
    }

    mutating func count(_ key: String) -> Int? {
        guard let value = json[key]?.nonNull else { return nil }
        guard let number = value.integer, (0...Int(Int32.max)).contains(number) else {
            return refuse(key, "a whole number from 0 to \(Int32.max)")
        }
        return number
    }

    mutating func flag(_ key: String) -> Bool {
        guard let value = json[key]?.nonNull else { return false }
        return value.bool ?? refuse(key, "true or false") ?? false
    }

    /// A token id or a list of them.
    mutating func tokens(_ key: String, mayBeUnknown: Bool = false, mayBeNegative: Bool = false) -> [Int32] {
        guard let value = json[key]?.nonNull else { return [] }
        let list = value.array == nil ? .array([value]) : value
        guard let ids = ids(list, mayBeUnknown: mayBeUnknown, mayBeNegative: mayBeNegative) else {
            return refuse(key, "token ids from 0 to \(vocabulary - 1)") ?? []
        }
        return ids
    }

    mutating func sequences(_ key: String) -> [[Int32]] {
        guard let value = json[key]?.nonNull else { return [] }
        guard let lists = value.array, !lists.isEmpty, let found = all(lists, { ids($0) }), !found.contains([]) else {
            return refuse(key, "a list of lists of token ids from 0 to \(vocabulary - 1)") ?? []
        }
        return found
    }

    mutating func biases(_ key: String) -> [GenerationSettings.Bias] {
        guard let value = json[key]?.nonNull else { return [] }
        let found = value.array.flatMap { pairs in
            all(pairs) { pair -> GenerationSettings.Bias? in
                guard let pair = pair.array, pair.count == 2, let tokens = ids(pair[0]), !tokens.isEmpty,
                    let bias = pair[1].double
                else { return nil }
                return .init(tokens: tokens, value: Float(bias))
            }
        }
        return found ?? refuse(key, "a list of pairs of a list of token ids and a number") ?? []
    }

    mutating func decay(_ key: String) -> GenerationSettings.Decay? {
        guard let value = json[key]?.nonNull else { return nil }
        guard let pair = value.array, pair.count == 2, let start = pair[0].integer, start >= 0,
            let factor = pair[1].double, factor > 0
        else { return refuse(key, "a list of a whole number and a factor") }
        return .init(start: start, factor: factor)
    }

    mutating func texts(_ key: String) -> [String] {
        guard let value = json[key]?.nonNull else { return [] }
        let list = value.array ?? [value]
        guard let texts = all(list, { $0.string?.isEmpty == false ? $0.string : nil }) else {
            return refuse(key, "a text or a list of texts") ?? []
        }
        return texts
    }

    private func all<Value>(_ items: [JSON], _ read: (JSON) -> Value?) -> [Value]? {
        let values = items.compactMap(read)
        return values.count == items.count ? values : nil
    }

    private func ids(_ json: JSON, mayBeUnknown: Bool = false, mayBeNegative: Bool = false) -> [Int32]? {
        guard let items = json.array else { return nil }
        return all(items) { item in
            guard let id = item.integer, mayBeNegative || id >= 0, mayBeUnknown || id < vocabulary else { return nil }
            return Int32(clamping: id)
        }
    }
}
