public import BridgeSupport
public import Communication
import ModelPlugins
import ModelSchema
public import Models
public import Recipes
import TensorRuntime

extension AutoBridge {
    /// How this model is divided over ranks.
    ///
    /// - Parameters:
    ///   - section: The layout of a recipe.
    ///   - groups: The ranks.
    /// - Returns: The part of this rank.
    /// - Throws: `BridgeError` with code `badLayout` and everything that does not fit.
    public func parallelism(_ section: Recipe.ModelSection, _ groups: ProcessGroupCollection) throws -> ModelParallelism
    {
        let stages = try stageLayers(section)
        try check(tensorSize: section.tensorModelParallelSize)
        return ModelParallelism(groups, sequenceParallel: section.sequenceParallel, stageLayers: stages)
    }

    /// The numbers of layers of the stages.
    ///
    /// Source: `get_num_layers_to_build`, megatron/core/transformer/transformer_block.py, 0.20; layers that are left over
    /// go to the first stages.
    private func stageLayers(_ section: Recipe.ModelSection) throws -> [Int] {
        let (count, stages) = (layerCount, section.pipelineModelParallelSize)
        let (first, last) = (section.numLayersInFirstPipelineStage, section.numLayersInLastPipelineStage)
        let middle = stages - (first == nil ? 0 : 1) - (last == nil ? 0 : 1)
        let left = count - (first ?? 0) - (last ?? 0)
        guard stages <= count, middle >= 0, left >= middle, middle > 0 || left == 0 else {
            throw BridgeError(
                .badLayout,
                "\(count) layers cannot be divided into \(stages) pipeline stages"
                    + (first.map { " with \($0) in the first" } ?? "") + (last.map { " with \($0) in the last" } ?? "")
                    + "; every stage needs at least one layer"
            )
        }
        let even = middle > 0 ? RankLayout(pipelineSize: middle).layersPerStage(of: left) : []
        return (first.map { [$0] } ?? []) + even + (last.map { [$0] } ?? [])
    }

    /// Checks that every matrix can be divided over tensor-parallel ranks.
    private func check(tensorSize size: Int) throws {
        guard size > 1 else { return }
        let decoder = model.provider.decoder
        var problems: [String] = []
        func require(_ holds: Bool, _ problem: String) { if !holds { problems.append(problem) } }
        let heads = decoder.numAttentionHeads
        let kvGroups = decoder.heads.groups
        require(heads % size == 0, "num_attention_heads is \(heads), expected a multiple of \(size)")
        require(
            kvGroups % size == 0 || size % kvGroups == 0,
            "num_query_groups is \(kvGroups), expected a multiple or a divisor of \(size)"
        )
        require(
            decoder.ffnHiddenSize % size == 0,
            "ffn_hidden_size is \(decoder.ffnHiddenSize), expected a multiple of \(size)"
        )
        let rows = (decoder.vocabSize + size - 1) / size
        require(rows * (size - 1) < decoder.vocabSize, "vocab_size is \(decoder.vocabSize), too few for \(size) ranks")
        guard problems.isEmpty else {
            throw BridgeError(
                .badLayout,
                "the model cannot be divided over \(size) tensor-parallel ranks; choose another "
                    + "model.tensor_model_parallel_size (--tp)",
                names: problems
            )
        }
    }
}
