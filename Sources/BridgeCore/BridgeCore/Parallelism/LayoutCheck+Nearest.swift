import BridgeSupport
public import Communication
import Glibc
import Recipes

extension LayoutCheck {
    /// All layouts without a fault for the same number of ranks.
    public var fitting: [ParallelLayout] {
        Self.divisors(of: ranks).flatMap { tensor in
            Self.divisors(of: ranks / tensor).flatMap { context in
                Self.divisors(of: ranks / tensor / context).compactMap { pipeline in
                    fits(tensor, context, pipeline, ranks: ranks)
                }
            }
        }
    }

    /// The lines of an error about the nearest layouts that fit.
    var advice: [String] {
        let own = advice("")
        guard own.isEmpty, let even = withEvenStages else { return own }
        return even.check.advice(" without \(even.keys.joined(separator: " and "))")
    }

    private func advice(_ condition: String) -> [String] {
        func text(_ layout: ParallelLayout) -> String {
            dividesData ? layout.description : "TP \(layout.tensor) x PP \(layout.pipeline)"
        }
        let (same, other) = nearest()
        var lines: [String] = []
        if !same.isEmpty {
            let list = same.map(text).joined(separator: ", ")
            lines.append("layouts that fit \(ByteFormat.counted(ranks, "rank"))\(condition): \(list)")
        }
        if !other.isEmpty {
            let list = other.map { "\(text($0)) (\(ByteFormat.counted($0.rankCount, "rank")))" }.joined(separator: ", ")
            lines.append("layouts of other numbers of ranks\(condition): \(list)")
        }
        return lines
    }

    /// The check with evenly divided layers, and the settings that divide them otherwise; nil without any.
    private var withEvenStages: (check: LayoutCheck, keys: [String])? {
        var other = recipe
        other.model.useEvenStages()
        let keys = recipe.differences(from: other).map(\.key)
        guard hasSizesInRange, !keys.isEmpty else { return nil }
        return (LayoutCheck(other, ranks: ranks, decoder: decoder, dividesData: dividesData), keys)
    }

    /// The nearest layouts that fit: up to three of the same number of ranks, and up to two of others.
    func nearest() -> (same: [ParallelLayout], other: [ParallelLayout]) {
        // Products of sizes out of range could overflow.
        guard hasSizesInRange else { return ([], []) }
        return (sorted(fitting).prefix(3).map(\.self), sorted(otherRanks).prefix(2).map(\.self))
    }

    /// Layouts that fit other numbers of ranks.
    private var otherRanks: [ParallelLayout] {
        let steps = max(1, recipe.train.globalBatchSize / max(1, recipe.train.microBatchSize))
        let own = recipe.model
        let tensors = Self.divisors(of: decoder?.numAttentionHeads ?? own.tensorModelParallelSize)
        let contexts = Set([1, 2, 4, 8, own.contextParallelSize])
        let pipelines = Set(Array(1...max(1, min(decoder?.numLayers ?? 1, 16))) + [own.pipelineModelParallelSize])
        return tensors.flatMap { tensor in
            contexts.flatMap { context in
                pipelines.flatMap { pipeline in
                    Self.divisors(of: steps).compactMap { copies in
                        let count = tensor * context * pipeline * copies
                        let isNear = count != ranks && (ranks / 2...2 * ranks).contains(count)
                        return isNear ? fits(tensor, context, pipeline, ranks: count) : nil
                    }
                }
            }
        }
    }

    private func fits(_ tensor: Int, _ context: Int, _ pipeline: Int, ranks: Int) -> ParallelLayout? {
        guard tensor > 1 || !recipe.model.sequenceParallel else { return nil }
        guard dividesData || context == 1 && ranks == tensor * pipeline else { return nil }
        var other = recipe
        (other.model.tensorModelParallelSize, other.model.contextParallelSize) = (tensor, context)
        other.model.pipelineModelParallelSize = pipeline
        let check = LayoutCheck(other, ranks: ranks, decoder: decoder, dividesData: dividesData)
        return check.faults.isEmpty ? check.layout : nil
    }

    /// The layouts from the nearest on: those that change sizes by the smallest factors.
    private func sorted(_ layouts: [ParallelLayout]) -> [ParallelLayout] {
        let own = recipe.model
        func distance(_ one: Int, _ other: Int) -> Double { abs(log2(Double(max(one, 1)) / Double(max(other, 1)))) }
        func distance(_ layout: ParallelLayout) -> Double {
            // A copy of the model more or less matters less than how the model is divided.
            distance(layout.tensor, own.tensorModelParallelSize) + distance(layout.context, own.contextParallelSize)
                + distance(layout.pipeline, own.pipelineModelParallelSize) + 0.5 * distance(layout.rankCount, ranks)
        }
        return layouts.map { (distance($0), $0) }.sorted { one, other in
            one.0 != other.0 ? one.0 < other.0 : Self.order(one.1).lexicographicallyPrecedes(Self.order(other.1))
        }.map(\.1)
    }

    /// Among equally near layouts, those with smaller sizes of the axes that communicate most are first.
    private static func order(_ layout: ParallelLayout) -> [Int] {
        [layout.context, layout.tensor, layout.pipeline, layout.data]
    }

    private static func divisors(of number: Int) -> [Int] {
        let low = (1...max(1, Int(Double(max(number, 1)).squareRoot()))).filter { number % $0 == 0 }
        return low + low.reversed().map { number / $0 }.filter { $0 > (low.last ?? 1) }
    }
}
