import BridgeCore

/// The order in which a blend takes the samples of several sources.
///
/// Source: `concatenate_datasets` and `interleave_datasets` of the package datasets 4 (arrow_dataset.py), whose order it has
/// to the sample, also with weights and a seed.
struct BlendOrder {
    /// Sources and rows there, in order.
    private(set) var samples: [(source: Int, row: Int)] = []

    /// The most samples of an epoch; a weight that is far too small would make the others be repeated without end.
    private static let mostSamples = 1 << 28

    /// The order of some sources.
    ///
    /// - Parameters:
    ///   - counts: The number of samples of each source, at least 1.
    ///   - blend: How they are joined.
    ///   - weights: The share of each source when they are interleaved, in any unit; empty to take them in turn.
    ///   - seed: The seed of the choices by weight.
    /// - Throws: `BridgeError` for an order that would be too long.
    init(counts: [Int], blend: Recipe.DatasetSection.Blend, weights: [Double], seed: UInt64) throws {
        try Self.checkLength(counts, blend, weights)
        guard blend != .concatenate else {
            for (source, count) in counts.enumerated() { samples += (0..<count).map { (source, $0) } }
            return
        }
        guard weights.isEmpty else {
            choose(counts, blend, weights, seed)
            return
        }
        let rounds = (blend == .firstExhausted ? counts.min() : counts.max()) ?? 0
        for round in 0..<rounds {
            for (source, count) in counts.enumerated() where round < count || blend == .allExhausted {
                samples.append((source, round % count))
            }
        }
    }

    private static func checkLength(_ counts: [Int], _ blend: Recipe.DatasetSection.Blend, _ weights: [Double]) throws {
        let total = weights.reduce(0, +)
        let all = counts.reduce(0.0) { $0 + Double($1) }
        // The number of choices, of which those of a source that is exhausted count too.
        let longest =
            switch (blend, weights.isEmpty) {
            case (.concatenate, _), (.firstExhausted, _), (.withoutReplacement, true): all
            case (.allExhausted, true): Double(counts.max() ?? 0) * Double(counts.count)
            case (_, false): zip(counts, weights).map { Double($0) * total / $1 }.max() ?? 0
            }
        guard longest <= Double(mostSamples) else {
            throw BridgeError(
                .badArgument,
                "an epoch of the blend would have about \(longest) samples, at most \(mostSamples) are supported; raise the smallest of "
                    + "dataset.source_weights, or set dataset.blend=first_exhausted"
            )
        }
    }

    /// Takes the next sample of a source chosen by weight, until the blend is complete.
    private mutating func choose(
        _ counts: [Int],
        _ blend: Recipe.DatasetSection.Blend,
        _ weights: [Double],
        _ seed: UInt64
    ) {
        // As numpy's choice: sums of the normalized weights, divided by the last of them.
        let total = weights.reduce(0, +)
        var sums: [Double] = []
        for weight in weights { sums.append((sums.last ?? 0) + weight / total) }
        let last = sums.last ?? 1
        sums = sums.map { $0 / last }
        var generator = PCG64(seed: seed)
        var next = counts.map { _ in 0 }
        var exhausted = counts.map { _ in false }
        while blend == .firstExhausted ? !exhausted.contains(true) : exhausted.contains(false) {
            let number = generator.uniform()
            let source = sums.firstIndex { number < $0 } ?? counts.count - 1
            if exhausted[source], blend == .withoutReplacement { continue }
            samples.append((source, next[source]))
            next[source] += 1
            if next[source] == counts[source] { (exhausted[source], next[source]) = (true, 0) }
        }
    }
}
