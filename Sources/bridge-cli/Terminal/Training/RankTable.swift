import BridgeCore
import Communication
import Foundation
import JSONTree

/// The table of what each rank of a planned run needs.
struct RankTable {
    let estimate: RunEstimate

    /// A table.
    init(_ estimate: RunEstimate) { self.estimate = estimate }

    /// More ranks than this are represented by those at the first position of the data and context axes.
    private static let mostRows = 64

    private var shown: [Int] {
        let layout = estimate.layout
        let all = Array(0..<layout.rankCount)
        guard all.count > Self.mostRows else { return all }
        return all.filter { layout.position(of: $0, along: .data) + layout.position(of: $0, along: .context) == 0 }
    }

    /// Prints the table.
    func show() {
        let axes = ParallelLayout.Axis.allCases.filter { estimate.layout.size(of: $0) > 1 }
        // Gradients are also summed over the context axis.
        let sums = axes.contains(.context) && !axes.contains(.data) ? [ParallelLayout.Axis.data] : []
        let columns = axes + sums
        var rows = [
            ["rank", "parameters", "weights", "gradients", "optimizer", "activations", "all"]
                + columns.map { "sent: \($0.shortName)" }
        ]
        for rank in shown.map(estimate.rank) {
            let bytes = [
                rank.weights, rank.gradients, rank.optimizer, rank.activations, rank.byteCount,
            ]
            rows.append(
                ["\(rank.rank)", rank.parameters.formatted(.number.grouping(.automatic))]
                    + (bytes + columns.map { rank.sent[$0] ?? 0 }).map(ByteFormat.text)
            )
        }
        Output.table(rows)
        let left = estimate.layout.rankCount - (rows.count - 1)
        if left > 0 { Output.line("\(left) more ranks have the same parts; --json lists all") }
    }

    /// The layout.
    var layoutJSON: JSON {
        let layout = estimate.layout
        return [
            "world_size": JSON(layout.rankCount), "tensor_model_parallel_size": JSON(layout.tensor),
            "pipeline_model_parallel_size": JSON(layout.pipeline), "context_parallel_size": JSON(layout.context),
            "data_parallel_size": JSON(layout.data),
            "stage_layers": .array(estimate.stageLayers.map { JSON($0) }),
        ]
    }

    /// All ranks.
    var json: JSON { .array((0..<estimate.layout.rankCount).map { Self.json(estimate.rank($0)) }) }

    private static func json(_ rank: RunEstimate.Rank) -> JSON {
        var sent: JSON = .object(JSONObject())
        for axis in ParallelLayout.Axis.allCases { sent.set(JSON(rank.sent[axis] ?? 0), at: axis.shortName) }
        return [
            "rank": JSON(rank.rank), "parameters": JSON(rank.parameters), "trained": JSON(rank.trained),
            "weights_bytes": JSON(rank.weights), "gradients_bytes": JSON(rank.gradients),
            "optimizer_bytes": JSON(rank.optimizer), "activations_bytes": JSON(rank.activations),
            "bytes": JSON(rank.byteCount), "sent_bytes_per_step": sent, "operations_per_step": JSON(rank.operations),
        ]
    }
}

extension ParallelLayout.Axis {
    /// The abbreviation, such as `tp`.
    var shortName: String {
        switch self {
        case .tensor: "tp"
        case .context: "cp"
        case .data: "dp"
        case .pipeline: "pp"
        }
    }
}
