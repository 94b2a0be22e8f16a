public import TensorRuntime

/// The groups that a rank is in, under Megatron-Core's names (`ProcessGroupCollection`, 0.20).
public struct ProcessGroupCollection: Sendable {
    /// The layout.
    public let layout: ParallelLayout
    /// This rank, in the world.
    public let rank: Int
    /// All ranks.
    public let world: any ProcessGroup
    /// The ranks that share each matrix.
    public let tp: any ProcessGroup
    /// The stages of a model.
    public let pp: any ProcessGroup
    /// The ranks that share each sequence.
    public let cp: any ProcessGroup
    /// The copies of a part of a model.
    public let dp: any ProcessGroup
    /// The ranks with the same parameters: over data and context.
    public let dpCp: any ProcessGroup
    /// The ranks of one copy of a model: over tensor and pipeline.
    public let mp: any ProcessGroup
    /// The first and the last stage, which share a tied embedding.
    public let embd: any ProcessGroup
    /// The ranks with the same parameters once more, for collectives that overlap with computation; the same as ``dpCp`` in
    /// a run without any.
    public let overlapped: any ProcessGroup
    /// All ranks once more, for checkpoints that are written while training goes on.
    public let checkpoint: any ProcessGroup

    /// The name of ``overlapped`` in messages and traces.
    public static let overlappedName = "overlapped data-parallel"
    /// The name of ``checkpoint`` in messages and traces.
    public static let checkpointName = "checkpoint"

    /// The groups of a run with one rank.
    public static let single = ProcessGroupCollection()

    private init() {
        layout = ParallelLayout()
        rank = 0
        let one = SingleRank()
        (world, tp, pp, cp, dp, dpCp, mp, embd, checkpoint) = (one, one, one, one, one, one, one, one, one)
        overlapped = one
    }

    /// Creates the groups; all ranks of the world do so together.
    ///
    /// - Parameters:
    ///   - layout: The layout, of as many ranks as the world has.
    ///   - world: The ranks.
    ///   - overlaps: Whether collectives overlap with computation, which needs a group of their own.
    /// - Throws: `BridgeError` when ranks cannot be connected.
    public init(_ layout: ParallelLayout, in world: any RankWorld, overlaps: Bool = false) throws {
        self.layout = layout
        rank = world.rank
        let rank = rank
        func group(_ axes: [ParallelLayout.Axis], _ name: String) throws -> any ProcessGroup {
            try world.group(layout.ranks(with: rank, along: axes), name: name)
        }
        self.world = try world.group(Array(0..<world.size), name: "world")
        checkpoint = try world.group(Array(0..<world.size), name: Self.checkpointName)
        tp = try group([.tensor], ParallelLayout.Axis.tensor.name)
        cp = try group([.context], ParallelLayout.Axis.context.name)
        dp = try group([.data], ParallelLayout.Axis.data.name)
        pp = try group([.pipeline], ParallelLayout.Axis.pipeline.name)
        dpCp =
            layout.context == 1
            ? dp : layout.data == 1 ? cp : try group([.context, .data], "data- and context-parallel")
        overlapped = overlaps ? try group([.context, .data], Self.overlappedName) : dpCp
        mp = layout.pipeline == 1 ? tp : layout.tensor == 1 ? pp : try group([.tensor, .pipeline], "model-parallel")
        let stages = layout.ranks(with: rank, along: [.pipeline])
        let ends = layout.pipeline > 2 ? [stages[0], stages[stages.count - 1]] : stages
        embd =
            ends.contains(rank)
            ? (ends.count == stages.count ? pp : try world.group(ends, name: "embedding")) : SingleRank()
    }

    /// Whether this rank has the first stage.
    public var isFirstStage: Bool { pp.rank == 0 }
    /// Whether this rank has the last stage.
    public var isLastStage: Bool { pp.rank == pp.size - 1 }
}
