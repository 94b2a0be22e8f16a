import ArgumentParser
import TensorRuntime

/// How a model is sharded across ranks.
struct LayoutOptions: ParsableArguments {
    @Option(
        name: .customLong("tp"),
        help: ArgumentHelp("Tensor parallel size.", valueName: "n")
    )
    var tensorSize = 1

    @Option(
        name: .customLong("pp"),
        help: ArgumentHelp("Pipeline parallel size.", valueName: "n")
    )
    var pipelineSize: Int?

    @Option(
        name: .customLong("num-layers-per-stage"),
        help: ArgumentHelp(
            "Layers of each pipeline stage, such as 12,14. (default: evenly distributed)",
            valueName: "n,n"
        )
    )
    var stageLayers: String?

    @Option(
        name: .customLong("make-vocab-size-divisible-by"),
        help: ArgumentHelp(
            "Pad the vocabulary to a multiple of this times --tp. (default: pad to a multiple of --tp)",
            valueName: "n"
        )
    )
    var vocabularyMultiple: Int?

    func validate() throws {
        guard (1...1024).contains(tensorSize) else {
            throw ValidationError("--tp is \(tensorSize), expected 1 to 1024")
        }
        if let pipelineSize, !(1...1024).contains(pipelineSize) {
            throw ValidationError("--pp is \(pipelineSize), expected 1 to 1024")
        }
        if let vocabularyMultiple, !(1...65536).contains(vocabularyMultiple) {
            throw ValidationError("--make-vocab-size-divisible-by is \(vocabularyMultiple), expected 1 to 65536")
        }
        guard let stageLayers else { return }
        let counts = stageLayers.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard counts.allSatisfy({ (1...4096).contains($0) }) else {
            throw ValidationError("--num-layers-per-stage is \(stageLayers), expected numbers of layers such as 12,14")
        }
        if let pipelineSize, pipelineSize != counts.count {
            throw ValidationError(
                "--num-layers-per-stage has \(counts.count) stages and --pp is \(pipelineSize), expected the same"
            )
        }
    }

    /// The layout.
    var layout: RankLayout {
        RankLayout(
            tensorSize: tensorSize,
            pipelineSize: pipelineSize ?? 1,
            stageLayers: stageLayers?.split(separator: ",").compactMap { Int($0) } ?? []
        )
    }
}
