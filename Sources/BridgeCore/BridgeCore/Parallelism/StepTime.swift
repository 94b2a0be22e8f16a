import Communication

/// The time of a step in seconds, by formulas: the stage that takes longest, the pipeline's bubble, and what is exchanged.
public struct StepTime: Sendable, Equatable {
    /// Matrix products and attention.
    public var compute: Double
    /// Exchanges within the passes of micro-batches: tensor, context and pipeline axes.
    public var exchange: Double
    /// Waiting for other stages at the beginning and the end of the step.
    public var bubble: Double
    /// Gradients and parameters along the data axis.
    public var reduction: Double

    /// All of it; nothing overlaps.
    public var seconds: Double { compute + exchange + bubble + reduction }

    /// The time of a run's step.
    public init(_ estimate: RunEstimate, on hardware: Hardware) {
        let layout = estimate.layout
        func seconds(_ rank: RunEstimate.Rank, _ axes: [ParallelLayout.Axis]) -> Double {
            axes.reduce(0) { sum, axis in
                // Gradients are summed over the data and the context axis.
                let ranks = layout.ranks(with: rank.rank, along: axis == .data ? [.data, .context] : [axis])
                let hosts = [ranks.first, ranks.last].compactMap { $0.map { $0 / hardware.devicesPerHost } }
                return sum + Double(rank.sent[axis] ?? 0) / hardware.bandwidth(isWithinHost: Set(hosts).count == 1)
            }
        }
        let stages = estimate.stages.map { rank in
            (
                compute: rank.operations / (hardware.peakOperations * hardware.efficiency),
                exchange: seconds(rank, [.tensor, .context, .pipeline]), reduction: seconds(rank, [.data])
            )
        }
        let longest = stages.max { $0.compute + $0.exchange < $1.compute + $1.exchange } ?? (0, 0, 0)
        (compute, exchange) = (longest.compute, longest.exchange)
        bubble = (compute + exchange) * Double(layout.pipeline - 1) / Double(max(estimate.microBatches, 1))
        reduction = stages.map(\.reduction).max() ?? 0
    }
}
