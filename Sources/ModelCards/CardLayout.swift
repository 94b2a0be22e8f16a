import BridgeCore
import Communication
import TensorRuntime

/// A layout of a verification card: ranks along the tensor and the pipeline axis.
public struct CardLayout: Sendable, Hashable, CustomStringConvertible {
    /// The number of ranks that share each matrix.
    public let tensor: Int
    /// The number of pipeline stages.
    public let pipeline: Int

    /// A layout.
    public init(tensor: Int = 1, pipeline: Int = 1) { (self.tensor, self.pipeline) = (tensor, pipeline) }

    /// A layout as an option has it.
    ///
    /// - Parameter text: `1`, `tp2`, `pp2`, `tp2pp2`, with any numbers up to 64; nil for another text.
    public init?(_ text: String) {
        if text == "1" {
            self.init()
            return
        }
        guard let match = text.lowercased().wholeMatch(of: /(?:tp([1-9]\d?))?(?:pp([1-9]\d?))?/), !text.isEmpty else {
            return nil
        }
        let (tensor, pipeline) = (match.1.flatMap { Int($0) } ?? 1, match.2.flatMap { Int($0) } ?? 1)
        guard tensor * pipeline <= Self.mostRanks else { return nil }
        self.init(tensor: tensor, pipeline: pipeline)
    }

    /// The most ranks, which are threads.
    public static let mostRanks = 64

    /// The layouts of a card without other instructions.
    public static let standard = [
        CardLayout(), CardLayout(tensor: 2), CardLayout(pipeline: 2), CardLayout(tensor: 2, pipeline: 2),
    ]

    /// The number of ranks.
    public var rankCount: Int { tensor * pipeline }

    /// Such as `TP 2 x PP 2`.
    public var description: String {
        let axes = [("TP", tensor), ("PP", pipeline)].filter { $0.1 > 1 }
        return axes.isEmpty ? "1 rank" : axes.map { "\($0) \($1)" }.joined(separator: " x ")
    }

    /// The layout of a conversion.
    var ranks: RankLayout { RankLayout(tensorSize: tensor, pipelineSize: pipeline) }

    /// The part of a model that a rank has.
    ///
    /// - Throws: `BridgeError` with code `badLayout` where the model cannot be divided so.
    func parallelism(of bridge: AutoBridge, in world: any RankWorld) throws -> ModelParallelism {
        var provider = bridge.toMegatronProvider()
        (provider.tensorModelParallelSize, provider.pipelineModelParallelSize) = (tensor, pipeline)
        return try provider.parallelism(in: provider.groups(in: world))
    }
}
