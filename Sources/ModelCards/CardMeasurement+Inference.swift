import BridgeCore
import Communication
import PluginConformance
import TensorRuntime

// Forward passes and decoding.
extension CardMeasurement {
    func forward(_ layout: CardLayout) throws -> Finding {
        guard let reference = options.reference else { return (.skipped("no reference given"), []) }
        let gaps = try onEachRank(layout) { model in
            try ReferenceCase.all(in: reference, on: model.engine).map { test in
                let (difference, scale) = try test.gap(of: model)
                return (positions: test.positionCount, relative: difference / max(scale, .leastNormalMagnitude))
            }
        }
        let largest = gaps.joined().map(\.relative).reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
        let positions = (gaps.first ?? []).reduce(0) { $0 + $1.positions }
        let figures: [ModelCard.Figure] = [
            .init("positions", "\(positions)"), .init("difference", "\(largest.short) of the largest logit"),
        ]
        guard largest <= Self.tolerance else {
            return (.failed("expected a difference of at most \(Self.tolerance.short)"), figures)
        }
        return (.passed, figures)
    }

    /// The tokens that are decoded, and how they compare with one pass.
    private struct Decoding: Sendable {
        var tokens: [Int32] = []
        var equal = 0
        var largest: Float = 0
        var seconds = 0.0
    }

    func generation(_ layout: CardLayout) throws -> Finding {
        let found = try onEachRank(layout) { try Self.decoding($0) }
        guard let first = found.first else { return (.skipped("there is no rank"), []) }
        let largest = found.map(\.largest).reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
        let rate = first.seconds > 0 ? Double(first.tokens.count - 1) / first.seconds : 0
        let figures: [ModelCard.Figure] = [
            .init("tokens", "\(first.tokens.count)"), .init("equal", "\(first.equal)"),
            .init("difference", "\(largest.short) of the largest logit"),
            .init("tokens per second", ByteFormat.rounded(rate, digits: 1)),
        ]
        guard largest <= Self.tolerance else {
            return (.failed("expected a difference of at most \(Self.tolerance.short)"), figures)
        }
        guard first.equal == first.tokens.count else {
            return (.failed("one pass without a cache has other tokens, above the difference of the logits"), figures)
        }
        guard found.allSatisfy({ $0.tokens == first.tokens }) else {
            return (.failed("the ranks have decoded different tokens"), figures)
        }
        return (.passed, figures)
    }

    private static func decoding(_ model: any CausalModel) throws -> Decoding {
        let limit = model.decoder.configuration.seqLength
        let new = max(2, min(16, limit / 2))
        let prompt = tokens(max(1, min(24, limit - new)), of: model)
        var result = Decoding()
        var logits: [[Float]] = []
        let timings = try Generator(model).run(prompt, options: .init(maxNewTokens: new)) { step in
            result.tokens.append(step.token)
            logits.append(step.logits)
            return true
        }
        result.seconds = timings.decode
        let whole = TokenBatch(tokens: prompt + result.tokens.dropLast())
        let output = try model.forward(whole, last: result.tokens.count).logits
        let (width, rows) = (output.shape[2], output.floats())
        for (index, token) in result.tokens.enumerated() {
            let row = rows[index * width..<(index + 1) * width]
            let scale = row.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
            let difference = zip(row, logits[index]).reduce(Float(0)) { found, pair in
                let distance = abs(pair.0 - pair.1)
                return distance.isNaN ? .infinity : max(found, distance)
            }
            result.largest = max(result.largest, logits[index].count == width ? difference / scale : .infinity)
            // Two logits that are closer than the two computations may be in either order.
            let best = row.max() ?? 0
            if best - row[row.startIndex + Int(token)] <= tolerance * scale { result.equal += 1 }
        }
        return result
    }

    /// Runs work on every rank of a layout, with its part of the imported checkpoint in float32.
    private func onEachRank<Result: Sendable>(
        _ layout: CardLayout,
        _ body: @escaping @Sendable (any CausalModel) throws -> Result
    ) throws -> [Result] {
        let (bridge, imported, threads) = (
            try AutoBridge.fromMegatron(imported, catalog: catalog), imported, threads(of: layout)
        )
        return try ThreadWorld.run(layout.rankCount) { world in
            try body(
                bridge.toModel(
                    weights: imported,
                    elementType: .float32,
                    on: CPUEngine(threadCount: threads),
                    parallelism: layout.parallelism(of: bridge, in: world)
                )
            )
        }
    }
}
