extension StepRecord {
    /// The values of a step under Megatron's tags, as TensorBoard and the trackers get them.
    var scalars: [(tag: String, value: Double)] {
        var scalars: [(tag: String, value: Double)] = [
            ("lm loss", loss), ("learning-rate", learningRate), ("grad-norm", gradientNorm),
            ("batch-size", Double(globalBatchSize)), ("iteration-time", seconds),
            ("consumed-samples", Double(consumedSamples)),
        ]
        if let norm = parametersNorm { scalars.append(("params-norm", norm)) }
        scalars += (preference?.values ?? []).map { ($0.name, $0.value) }
        if seconds > 0 {
            scalars.append(("tokens-per-second", Double(tokens) / seconds))
            if operations > 0 { scalars.append(("throughput/tflops", operations / seconds / 1e12)) }
        }
        return scalars
    }
}

extension ValidationRecord {
    /// The values of a validation under Megatron's tags.
    var scalars: [(tag: String, value: Double)] {
        var scalars: [(tag: String, value: Double)] = [("lm loss validation", loss)]
        if let perplexity { scalars.append(("lm loss validation ppl", perplexity)) }
        if let tokenAccuracy { scalars.append(("token accuracy validation", tokenAccuracy)) }
        scalars += (preference?.values ?? []).map { ("validation/\($0.name)", $0.value) }
        scalars += parts.map { ("lm loss validation/\($0.name)", $0.loss) }
        return scalars
    }
}
