import Glibc

/// Processes logits by the settings of a model's `generation_config.json`, in the order of transformers.
///
/// Source: `_get_logits_processor` in `generation/utils.py` and `generation/logits_process.py`, transformers 5.23.
struct LogitsProcessing {
    let settings: GenerationSettings
    /// The tokens of the prompt.
    let promptLength: Int
    /// The most tokens of prompt and output together.
    let maxLength: Int
    /// Tokens that end a text; none where ends are ignored.
    let endTokens: Set<Int32>

    /// Whether there is anything to change.
    var isEmpty: Bool {
        var settings = settings
        (settings.sampling, settings.stopStrings, settings.endTokens) = (.init(), [], [])
        (settings.maxTime, settings.maxLength, settings.maxNewTokens) = (nil, nil, nil)
        return settings == GenerationSettings()
    }

    /// Changes the logits of the next token.
    ///
    /// - Parameters:
    ///   - scores: One number for each token of the vocabulary.
    ///   - sequence: The prompt and what has been generated.
    func apply(to scores: inout [Float], after sequence: [Int32]) {
        for bias in settings.sequenceBias { add(bias.value, to: bias.tokens, &scores, sequence) }
        if settings.repetitionPenalty != 1 {
            Sampler.penalize(&scores, Set(sequence), by: settings.repetitionPenalty)
        }
        banRepeatedNgrams(&scores, sequence)
        for word in settings.badWords where word.count > 1 || !endTokens.contains(word[0]) {
            add(-.infinity, to: word, &scores, sequence)
        }
        if sequence.count < settings.minLength || sequence.count - promptLength < settings.minNewTokens {
            for token in endTokens { set(-.infinity, token, &scores) }
        }
        if let forced = settings.forcedBOS, sequence.count == 1 { force([forced], &scores) }
        if !settings.forcedEOS.isEmpty, sequence.count == maxLength - 1 { force(settings.forcedEOS, &scores) }
        if settings.removesInvalidValues {
            for index in scores.indices {
                if scores[index].isNaN {
                    scores[index] = 0
                } else if scores[index].isInfinite {
                    scores[index] = scores[index] > 0 ? .greatestFiniteMagnitude : -.greatestFiniteMagnitude
                }
            }
        }
        if let decay = settings.exponentialDecay, sequence.count > decay.start + promptLength {
            let factor = pow(decay.factor, Double(sequence.count - decay.start - promptLength)) - 1
            for token in endTokens where scores.indices.contains(Int(token)) && scores[Int(token)].isFinite {
                scores[Int(token)] += abs(scores[Int(token)]) * Float(factor)
            }
        }
        for token in settings.suppressTokens { set(-.infinity, token, &scores) }
        if !settings.beginSuppressTokens.isEmpty {
            let begin = promptLength > 1 || settings.forcedBOS == nil ? promptLength : promptLength + 1
            if sequence.count == begin { for token in settings.beginSuppressTokens { set(-.infinity, token, &scores) } }
        }
    }

    /// Adds to the last token of a sequence where what has been generated ends in the others.
    private func add(_ value: Float, to tokens: [Int32], _ scores: inout [Float], _ sequence: [Int32]) {
        guard let last = tokens.last, scores.indices.contains(Int(last)), sequence.count >= tokens.count - 1,
            sequence.suffix(tokens.count - 1).elementsEqual(tokens.dropLast())
        else { return }
        scores[Int(last)] += value
    }

    private func set(_ value: Float, _ token: Int32, _ scores: inout [Float]) {
        if scores.indices.contains(Int(token)) { scores[Int(token)] = value }
    }

    private func force(_ tokens: [Int32], _ scores: inout [Float]) {
        for index in scores.indices { scores[index] = -.infinity }
        for token in tokens { set(0, token, &scores) }
    }

    private func banRepeatedNgrams(_ scores: inout [Float], _ sequence: [Int32]) {
        let size = settings.noRepeatNgramSize
        guard size > 0, sequence.count >= size else { return }
        let prefix = sequence.suffix(size - 1)
        for start in 0...sequence.count - size
        where sequence[start..<start + size - 1].elementsEqual(prefix) {
            set(-.infinity, sequence[start + size - 1], &scores)
        }
    }
}
