import BridgeCore
import Communication
import Testing

/// The rules of Megatron-Core 0.20 for layouts, each with its text, and the layouts that are offered instead.
@Suite struct LayoutCheckTests {
    /// The sizes of Mistral 7B v0.3 (`config.json`).
    private static var decoder: DecoderConfiguration {
        var decoder = DecoderConfiguration()
        (decoder.numLayers, decoder.hiddenSize, decoder.ffnHiddenSize) = (32, 4096, 14336)
        (decoder.numAttentionHeads, decoder.numQueryGroups, decoder.kvChannels) = (32, 8, 128)
        decoder.vocabSize = 32768
        return decoder
    }

    private static func recipe(tp: Int = 1, pp: Int = 1, cp: Int = 1, gbs: Int = 32, mbs: Int = 1) -> Recipe {
        var recipe = Recipe(name: "r")
        (recipe.model.tensorModelParallelSize, recipe.model.pipelineModelParallelSize) = (tp, pp)
        recipe.model.contextParallelSize = cp
        (recipe.train.globalBatchSize, recipe.train.microBatchSize) = (gbs, mbs)
        return recipe
    }

    private func check(_ recipe: Recipe, _ ranks: Int) -> LayoutCheck {
        LayoutCheck(recipe, ranks: ranks, decoder: Self.decoder)
    }

    @Test func aLayoutThatFitsHasTheCopiesThatTheRanksSuffice() throws {
        let layout = try check(Self.recipe(tp: 2, pp: 2), 16).validated()
        #expect(layout == ParallelLayout(tensor: 2, data: 4, pipeline: 2))
    }

    /// Megatron Bridge stops at the first: `world size (8) is not divisible by total_model_size`.
    @Test func allFaultsAreReportedAtOnce() {
        var recipe = Self.recipe(tp: 3, pp: 33, cp: 1)
        recipe.model.sequenceParallel = true
        recipe.model.seqLength = 4096
        #expect(
            check(recipe, 8).faults == [
                "8 ranks cannot be divided by TP x PP x CP (3 x 33 x 1 = 99)",
                "num_attention_heads is 32, expected a multiple of TP, which is 3",
                "num_query_groups is 8, expected a multiple or a divisor of TP, which is 3",
                "ffn_hidden_size is 14336, expected a multiple of TP, which is 3",
                "32 layers cannot be divided into 33 pipeline stages; every stage needs at least one layer",
                "model.seq_length is 4096, expected a multiple of TP, for sequence parallelism (3), which is 3",
            ]
        )
    }

    /// `num_query_groups (8) must be a multiple or divisor of tensor_model_parallel_size`: 16 is legal.
    @Test func moreTensorParallelRanksThanQueryGroupsAreAllowed() {
        #expect(check(Self.recipe(tp: 16), 16).faults.isEmpty)
    }

    @Test func aSequenceIsAMultipleOfTwiceTheContextSize() {
        var recipe = Self.recipe(tp: 2, cp: 2)
        recipe.model.seqLength = 4098
        #expect(
            check(recipe, 4).faults == ["model.seq_length is 4098, expected a multiple of 2 x CP (2 x 2), which is 4"]
        )
        recipe.model.sequenceParallel = true
        #expect(
            check(recipe, 4).faults == [
                "model.seq_length is 4098, expected a multiple of 2 x CP x TP, for sequence parallelism (2 x 2 x 2), which is 8"
            ]
        )
    }

    @Test func aGlobalBatchThatDoesNotDivideNamesItsNeighbours() {
        #expect(
            check(Self.recipe(gbs: 32, mbs: 2), 6).faults == [
                "train.global_batch_size is 32, expected a multiple of train.micro_batch_size x data-parallel size, "
                    + "which is 2 x 6, such as 24 or 36"
            ]
        )
    }

    @Test func stagesOfUnevenSizeAreCounted() throws {
        var recipe = Self.recipe(pp: 4)
        recipe.model.numLayersInFirstPipelineStage = 5
        #expect(check(recipe, 4).stageLayers == [5, 9, 9, 9])
        recipe.model.numLayersInLastPipelineStage = 26
        #expect(
            check(recipe, 4).faults == [
                "32 layers cannot be divided into 4 pipeline stages with 5 in the first with 26 in the last; "
                    + "every stage needs at least one layer"
            ]
        )
    }

    @Test func theErrorOffersTheNearestLayouts() throws {
        let error = #expect(throws: BridgeError.self) { _ = try check(Self.recipe(tp: 3), 8).validated() }
        #expect(error?.code == .badLayout)
        #expect(error?.message == "the layout TP 3 x PP 1 x CP 1 does not fit 8 ranks, for 4 reasons")
        // 4 and 2 are 0.42 and 0.58 binary orders of magnitude from 3; a context axis changes two sizes.
        #expect(
            error?.names.dropFirst(4).first
                == "layouts that fit 8 ranks: TP 4 x PP 1 x DP 2 x CP 1, TP 2 x PP 1 x DP 4 x CP 1, TP 4 x PP 2 x DP 1 x CP 1"
        )
        #expect(error?.names.last?.hasPrefix("layouts of other numbers of ranks: TP 4 x PP 1 x DP 2") == false)
        #expect(error?.names.count == 6)
    }

    /// The layouts are those of the sizes alone, since the stages fit none.
    @Test func aFaultOfTheStagesHasNearestLayoutsToo() {
        var recipe = Self.recipe(pp: 2)
        recipe.model.virtualPipelineModelParallelSize = 33
        let key = "model.virtual_pipeline_model_parallel_size"
        let layouts = check(recipe, 2).error?.names.dropFirst().first
        #expect(layouts?.hasPrefix("layouts that fit 2 ranks without \(key): TP 1 x PP 2") == true)
        recipe.model.virtualPipelineModelParallelSize = nil
        recipe.model.pipelineModelParallelLayout = "Ett|tL"
        let names = check(recipe, 2).error?.names ?? []
        #expect(names.first?.hasPrefix("model.pipeline_model_parallel_layout is 'Ett|tL'") == true)
        #expect(names.dropFirst().first?.contains(" without model.pipeline_model_parallel_layout: TP 1 x PP 2") == true)
    }

    @Test func aModelInMemoryHasLayoutsOfOneCopy() {
        let one = LayoutCheck(Self.recipe(tp: 3), ranks: 3, decoder: Self.decoder, dividesData: false)
        let names = one.error?.names ?? []
        #expect(one.error?.message.contains("CP") == false)
        #expect(names.count { $0.hasPrefix("layouts ") } == 2)
        for line in names where line.hasPrefix("layouts ") {
            #expect(!line.contains("DP") && !line.contains("CP"), "\(line)")
        }
    }

    @Test(arguments: [2, 6, 8, 12, 16, 1024]) func everyLayoutThatIsOfferedFits(_ ranks: Int) {
        let one = check(Self.recipe(tp: 3, pp: 5), ranks)
        for layout in one.fitting {
            #expect(layout.rankCount == ranks)
            let recipe = Self.recipe(tp: layout.tensor, pp: layout.pipeline, cp: layout.context)
            #expect(check(recipe, ranks).faults.isEmpty)
        }
        // For example with 1024 ranks: TP 32 and DP 32.
        #expect(!one.fitting.isEmpty)
    }
}
