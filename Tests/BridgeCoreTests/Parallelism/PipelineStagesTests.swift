import BridgeCore
import Testing

@testable import BridgeCore

/// Layers of stages, by the rules and examples of megatron/core/transformer/pipeline_parallel_layer_layout.py, 0.20.
@Suite struct PipelineStagesTests {
    private func stages(
        _ layers: Int,
        pp: Int,
        _ change: (inout Recipe.ModelSection) -> Void = { _ in }
    ) throws -> [Int] {
        var section = Recipe(name: "").model
        section.pipelineModelParallelSize = pp
        change(&section)
        return try PipelineStages(section, layerCount: layers).layers
    }

    @Test func evenAndUnevenStages() throws {
        #expect(try stages(26, pp: 4) == [7, 7, 6, 6])
        #expect(try stages(24, pp: 2) { $0.virtualPipelineModelParallelSize = 3 } == [4, 4, 4, 4, 4, 4])
        #expect(try stages(26, pp: 3) { $0.numLayersInFirstPipelineStage = 6 } == [6, 10, 10])
        #expect(try stages(26, pp: 3) { $0.numLayersInLastPipelineStage = 4 } == [11, 11, 4])
        // 30 layers, embedding and loss are 32 in four stages of 8.
        let counted = try stages(30, pp: 4) {
            ($0.accountForEmbeddingInPipelineSplit, $0.accountForLossInPipelineSplit) = (true, true)
        }
        #expect(counted == [7, 8, 8, 7])
    }

    @Test(arguments: [
        ("Et*3|(tt|)*29|L", 61, 32, [3] + [Int](repeating: 2, count: 29) + [0, 0]),
        ("Ett|tt|tt|ttL", 8, 2, [2, 2, 2, 2]),
        ("E,t*2|t*15|,t,L", 18, 3, [2, 15, 1]), ("E(t|)*3tL", 4, 4, [1, 1, 1, 1]),
    ])
    func aLayoutIsText(_ text: String, _ layers: Int, _ pp: Int, _ expected: [Int]) throws {
        #expect(try stages(layers, pp: pp) { $0.pipelineModelParallelLayout = text } == expected)
    }

    @Test(arguments: [
        ("tt|ttL", "one E at the beginning"), ("Ett|tt", "one L at the end"), ("Ett|ttLm", "E, t and L only"),
        ("E(tt|ttL", "expected stages separated by |"), ("Et*|tL", "expected stages separated by |"),
        ("Et|t|tL", "a multiple of the 2"), ("Ett|tttL", "there are 5 layers, expected 4"),
        ("E((((((((((((((((((t", "expected stages"), ("Et*4000*4000|L", "expected stages"),
    ])
    func aWrongLayoutIsNamed(_ text: String, _ problem: String) throws {
        let fault = #expect(throws: PipelineStages.Fault.self) {
            try stages(4, pp: 2) { $0.pipelineModelParallelLayout = text }
        }
        #expect(fault?.sentence.contains(problem) == true, "\(fault?.sentence ?? "")")
    }

    @Test func virtualStagesNeedAPipeline() {
        let fault = #expect(throws: PipelineStages.Fault.self) {
            try stages(4, pp: 1) { $0.virtualPipelineModelParallelSize = 2 }
        }
        #expect(fault?.sentence.contains("needs model.pipeline_model_parallel_size above 1") == true)
    }

    /// One rank cannot exchange tensors with itself; a text of one stage is what it has anyway.
    @Test(arguments: ["Et*2|t*2L", "Et|t*3L", "E|t*4L"]) func severalStagesOfATextNeedAPipeline(_ text: String) throws {
        let fault = #expect(throws: PipelineStages.Fault.self) {
            try stages(4, pp: 1) { $0.pipelineModelParallelLayout = text }
        }
        #expect(fault?.sentence.contains("need model.pipeline_model_parallel_size above 1") == true)
        #expect(try stages(4, pp: 1) { $0.pipelineModelParallelLayout = "Et*4L" } == [4])
    }

    @Test func oneRankHasNoStages() {
        var section = Recipe(name: "").model
        section.pipelineModelParallelSize = 2
        section.pipelineModelParallelLayout = "Ett|ttL"
        section.accountForLossInPipelineSplit = true
        section.useOneRank()
        #expect(section == Recipe(name: "").model)
    }
}
