/// How a model is sharded across ranks: along the tensor axis and along the pipeline axis.
public struct RankLayout: Sendable, Codable, Hashable {
    /// The tensor-parallel size: the number of ranks that share each matrix.
    public var tensorSize: Int
    /// The number of decoder layers of each pipeline stage; empty for an even distribution over `pipelineSize`.
    public var stageLayers: [Int]
    /// The number of pipeline stages.
    public var pipelineSize: Int

    /// A layout; without `stageLayers` the layers are spread evenly, the first stages taking what is left over.
    public init(tensorSize: Int = 1, pipelineSize: Int = 1, stageLayers: [Int] = []) {
        self.tensorSize = tensorSize
        self.pipelineSize = stageLayers.isEmpty ? pipelineSize : stageLayers.count
        self.stageLayers = stageLayers
    }

    /// The layout of one rank.
    public static let single = RankLayout()

    /// The number of ranks of the model.
    public var rankCount: Int { tensorSize * pipelineSize }

    /// The number of the `layerCount` layers in each stage.
    public func layersPerStage(of layerCount: Int) -> [Int] {
        guard stageLayers.isEmpty else { return stageLayers }
        return (0..<pipelineSize).map { layerCount / pipelineSize + ($0 < layerCount % pipelineSize ? 1 : 0) }
    }

    /// The stage that holds a layer, counted from 0.
    public func stage(ofLayer layer: Int, of layerCount: Int) -> Int {
        var end = 0
        for (stage, count) in layersPerStage(of: layerCount).enumerated() {
            end += count
            if layer < end { return stage }
        }
        return max(0, pipelineSize - 1)
    }
}

extension RankLayout: CustomStringConvertible {
    /// For example `TP 2 x PP 2 (13 + 13 layers)`.
    public var description: String {
        let stages = stageLayers.isEmpty ? "" : " (\(stageLayers.map(String.init).joined(separator: " + ")) layers)"
        return "TP \(tensorSize) x PP \(pipelineSize)\(stages)"
    }
}
