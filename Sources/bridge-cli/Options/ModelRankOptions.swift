import ArgumentParser
import BridgeCore
import Communication
import TensorRuntime

/// The ranks that a model in memory is divided over.
struct ModelRankOptions: ParsableArguments {
    @Option(
        name: .customLong("tp"),
        help: ArgumentHelp("Tensor parallel size: number of ranks that share each matrix. (default: 1)", valueName: "n")
    )
    var tensorSize: Int?

    @Option(
        name: .customLong("pp"),
        help: ArgumentHelp(
            "Pipeline parallel size: number of ranks that share the layers. (default: 1)",
            valueName: "n"
        )
    )
    var pipelineSize: Int?

    @Option(name: .customLong("ep"), help: .hidden)
    var expertSize: Int?

    @Option(name: .customLong("etp"), help: .hidden)
    var expertTensorSize: Int?

    @OptionGroup var ranks: RankOptions

    func validate() throws {
        for (name, size) in [("--tp", tensorSize), ("--pp", pipelineSize)] {
            if let size, !(1...1024).contains(size) { throw ValidationError("\(name) is \(size), expected 1 to 1024") }
        }
        for (name, size) in [("--ep", expertSize), ("--etp", expertTensorSize)] {
            if let size, size != 1 {
                throw ValidationError("\(name) is \(size), expected 1: expert parallelism is not supported yet")
            }
        }
        if ranks.hostfile == nil, let count = ranks.ranksPerHost, count != layout.rankCount {
            throw ValidationError(
                "--nproc-per-node is \(count), expected --tp x --pp (\(layout.tensor) x \(layout.pipeline) = \(layout.rankCount)); "
                    + "it may be omitted"
            )
        }
    }

    /// The layout.
    var layout: ParallelLayout { ParallelLayout(tensor: tensorSize ?? 1, pipeline: pipelineSize ?? 1) }

    /// Whether an option was given.
    var isGiven: Bool { tensorSize != nil || pipelineSize != nil || ranks.ranksPerHost != nil || ranks.hostfile != nil }

    /// Refuses an option that is supported on one rank only.
    ///
    /// - Throws: `BridgeError` where it is given and there are several.
    func requireOneRank(for option: String, isGiven: Bool) throws {
        guard isGiven, layout.rankCount > 1 else { return }
        throw BridgeError(.badArgument, "\(option) is supported on one rank only; remove it, or --tp and --pp")
    }

    /// The groups of the ranks; starts them, in place of this process, where there are several.
    ///
    /// - Parameters:
    ///   - command: The command, for messages.
    ///   - models: The models that are used, of which those on the hub are downloaded before there are ranks.
    ///   - threads: The number of threads of each rank; nil for its share of the cores.
    /// - Returns: The groups that this rank is in.
    /// - Throws: `BridgeError` when the ranks cannot be started or connected, or are not as many as the layout has.
    func groups(_ command: String, models: [String?], threads: Int?) throws -> ProcessGroupCollection {
        if layout.rankCount > 1, RankEnvironment.current == .single {
            for model in models.compactMap({ $0 }) where HubRepository(meantBy: model) != nil {
                _ = try HubDirectory.resolve(model)
            }
        }
        let world = try ranks.world(
            command,
            count: layout.rankCount,
            threads: threads,
            advice: "if memory was short, start more ranks, or compute in bfloat16"
        )
        guard world.size == layout.rankCount else {
            throw BridgeError(
                .badLayout,
                "there \(world.size == 1 ? "is 1 rank" : "are \(world.size) ranks"), expected --tp x --pp "
                    + "(\(layout.tensor) x \(layout.pipeline) = \(layout.rankCount)); start as many, or choose other sizes"
            )
        }
        return try ProcessGroupCollection(layout, in: world)
    }
}
