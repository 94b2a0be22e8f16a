import Recipes
import TensorRuntime

/// The numbers of layers of the virtual stages of a pipeline.
///
/// Source: `get_num_layers_to_build` and `PipelineParallelLayerLayout`, megatron/core/transformer, 0.20; of layers that do not
/// divide evenly the first stages have one more, which is an error there.
struct PipelineStages {
    /// The number of layers of each virtual stage; virtual stage i is on rank i modulo the number of ranks.
    let layers: [Int]

    /// A fault of a layout, in one sentence.
    struct Fault: Error {
        let sentence: String
    }

    /// The stages of a recipe.
    ///
    /// - Throws: A fault.
    init(_ section: Recipe.ModelSection, layerCount count: Int) throws(Fault) {
        let ranks = section.pipelineModelParallelSize
        if !section.pipelineModelParallelLayout.isEmpty {
            layers = try Self.parsed(section.pipelineModelParallelLayout, ranks: ranks, layerCount: count)
            return
        }
        let virtual = section.virtualPipelineModelParallelSize ?? 1
        let given = [virtual, section.numLayersInFirstPipelineStage ?? 1, section.numLayersInLastPipelineStage ?? 1]
        // Larger numbers could overflow in sums and products.
        guard given.allSatisfy((1...1 << 12).contains) else {
            throw Fault(sentence: "the numbers of virtual stages and of their layers must be from 1 to \(1 << 12)")
        }
        guard virtual == 1 || ranks > 1 else {
            throw Fault(
                sentence: "model.virtual_pipeline_model_parallel_size is \(virtual), which needs "
                    + "model.pipeline_model_parallel_size above 1"
            )
        }
        let stages = ranks * virtual
        let (first, last) = (section.numLayersInFirstPipelineStage, section.numLayersInLastPipelineStage)
        guard virtual == 1 || (first == nil && last == nil) else {
            throw Fault(
                sentence: "model.num_layers_in_first_pipeline_stage and model.num_layers_in_last_pipeline_stage need "
                    + "model.virtual_pipeline_model_parallel_size 1, found \(virtual); give model.pipeline_model_parallel_layout"
            )
        }
        // Embedding and loss count as a layer each where the recipe asks for it.
        let (embedding, loss) = (
            section.accountForEmbeddingInPipelineSplit ? 1 : 0, section.accountForLossInPipelineSplit ? 1 : 0
        )
        let middle = stages - (first == nil ? 0 : 1) - (last == nil ? 0 : 1)
        let left = count - (first ?? 0) - (last ?? 0) + embedding + loss
        guard stages <= count, middle >= 0, left >= middle, middle > 0 || left == 0 else {
            throw Fault(
                sentence: "\(count) layers cannot be divided into \(stages) pipeline stages"
                    + (first.map { " with \($0) in the first" } ?? "") + (last.map { " with \($0) in the last" } ?? "")
                    + "; every stage needs at least one layer"
            )
        }
        var layers = first.map { [$0] } ?? []
        if middle > 0 { layers += RankLayout(pipelineSize: middle).layersPerStage(of: left) }
        layers += last.map { [$0] } ?? []
        layers[0] -= embedding
        layers[layers.count - 1] -= loss
        self.layers = layers
    }

    /// The stages of a text such as `Et*3|(tt|)*29|L`: E for the embedding, t for a layer, L for the loss, and `*n` for n times
    /// what is before it.
    private static func parsed(_ text: String, ranks: Int, layerCount: Int) throws(Fault) -> [Int] {
        func fault(_ problem: String) -> Fault {
            Fault(sentence: "model.pipeline_model_parallel_layout is '\(text)': \(problem)")
        }
        guard text.utf8.count <= 1 << 12, let whole = expanded(text.filter { $0 != "," && !$0.isWhitespace }) else {
            throw fault("expected stages separated by |, of E, t and L, with *n and parentheses for repetitions")
        }
        // A stage that ends the text may be closed by a separator of its own.
        let stages = (whole.hasSuffix("|") ? String(whole.dropLast()) : whole)
            .split(separator: "|", omittingEmptySubsequences: false)
        guard stages.allSatisfy({ $0.allSatisfy { "EtL".contains($0) } }) else {
            throw fault("a stage may have E, t and L only")
        }
        guard stages.first?.hasPrefix("E") == true, stages.last?.hasSuffix("L") == true,
            whole.count(where: { $0 == "E" }) == 1, whole.count(where: { $0 == "L" }) == 1
        else { throw fault("expected one E at the beginning of the first stage and one L at the end of the last") }
        guard stages.count % ranks == 0 else {
            throw fault("there are \(stages.count) stages, expected a multiple of the \(ranks) pipeline-parallel ranks")
        }
        guard ranks > 1 || stages.count == 1 else {
            throw fault("there are \(stages.count) stages, which need model.pipeline_model_parallel_size above 1")
        }
        let layers = stages.map { stage in stage.count { $0 == "t" } }
        guard layers.reduce(0, +) == layerCount else {
            throw fault("there are \(layers.reduce(0, +)) layers, expected \(layerCount)")
        }
        return layers
    }

    /// The text with its repetitions written out; nil when it is not well-formed or too long.
    private static func expanded(_ text: String) -> String? {
        var stack = [""]
        var unit = ""
        var rest = text[...]
        while let character = rest.popFirst() {
            switch character {
            case "(":
                stack[stack.count - 1] += unit
                unit = ""
                stack.append("")
            case ")":
                guard stack.count > 1 else { return nil }
                unit = stack.removeLast() + unit
            case "*":
                let digits = rest.prefix { $0.isASCII && $0.isNumber }
                guard let count = Int(digits), (0...4096).contains(count), !unit.isEmpty, unit.count * count <= 1 << 16
                else { return nil }
                rest = rest.dropFirst(digits.count)
                unit = String(repeating: unit, count: count)
            default:
                stack[stack.count - 1] += unit
                unit = String(character)
            }
            guard stack.count < 16, stack[stack.count - 1].count <= 1 << 16 else { return nil }
        }
        return stack.count == 1 ? stack[0] + unit : nil
    }
}
