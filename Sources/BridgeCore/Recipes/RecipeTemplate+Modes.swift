extension RecipeTemplate {
    /// The settings of full training or of adapters in Megatron Bridge's recipes, which are separate recipes since 0.6.
    public struct Mode: Sendable, Equatable {
        /// The size of the tensor-parallel axis.
        public var tensorSize: Int
        /// The size of the pipeline-parallel axis.
        public var pipelineSize: Int
        /// The maximum learning rate.
        public var lr: Double
        /// The lowest learning rate, at the end of the decay.
        public var minLR: Double

        /// A mode.
        public init(tensorSize: Int = 1, pipelineSize: Int = 1, lr: Double, minLR: Double) {
            self.tensorSize = tensorSize
            self.pipelineSize = pipelineSize
            self.lr = lr
            self.minLR = minLR
        }
    }

    /// The recipe `STEM_finetune_config`, for full training and for adapters, as Megatron Bridge has it until 0.3.
    ///
    /// - Parameters:
    ///   - stem: The model, such as `ministral3_3b`.
    ///   - hfPath: The hub id of the model.
    ///   - summary: The purpose of the recipe, in one line.
    ///   - abilities: The features that the family supports.
    ///   - full: The scale of full training.
    ///   - adapters: The scale of training adapters.
    ///   - change: Changes that all recipes of the family have in common.
    /// - Returns: The recipe.
    public static func finetune(
        stem: String,
        hfPath: String,
        summary: String,
        abilities: Abilities = Abilities(),
        full: Recipe.Scale,
        adapters: Recipe.Scale,
        change: @escaping @Sendable (inout Recipe) -> Void
    ) -> RecipeTemplate {
        let name = "\(stem)_finetune_config"
        return RecipeTemplate(name: name, summary: summary, abilities: abilities) { scheme in
            var recipe = Recipe(name: name, hfPath: hfPath, peft: scheme, full: full, adapters: adapters)
            recipe.train.trainIters = 1000
            change(&recipe)
            return recipe
        }
    }

    /// The recipes `STEM_sft_config` for full training and `STEM_peft_config` for adapters, with their full names
    /// (`STEM_sft_1gpu_h100_bf16_config`) as aliases.
    ///
    /// - Parameters:
    ///   - stem: The model, such as `ministral3_3b`.
    ///   - hfPath: The hub id of the model.
    ///   - summary: The purpose of the recipes, in one line.
    ///   - abilities: The features that the family supports.
    ///   - sft: Full training.
    ///   - peft: Training of adapters.
    ///   - change: Changes that all recipes of the family have in common.
    /// - Returns: The two recipes.
    public static func modes(
        stem: String,
        hfPath: String,
        summary: String,
        abilities: Abilities = Abilities(),
        sft: Mode,
        peft: Mode,
        change: @escaping @Sendable (inout Recipe) -> Void
    ) -> [RecipeTemplate] {
        let both: [(suffix: String, schemes: [Recipe.PEFTSection.Scheme], mode: Mode)] = [
            ("sft", [.none], sft), ("peft", [.lora, .dora], peft),
        ]
        return both.map { suffix, schemes, mode in
            let name = "\(stem)_\(suffix)_config"
            // The count of GPUs in the full name is that of the layout.
            let fullName = "\(stem)_\(suffix)_\(mode.tensorSize * mode.pipelineSize)gpu_h100_bf16_config"
            return RecipeTemplate(
                name: name,
                summary: summary,
                aliases: [fullName],
                schemes: schemes,
                abilities: abilities
            ) { scheme in
                let scale = Recipe.Scale(
                    tensorSize: mode.tensorSize,
                    pipelineSize: mode.pipelineSize,
                    globalBatchSize: 32
                )
                var recipe = Recipe(name: name, hfPath: hfPath, peft: scheme, full: scale, adapters: scale)
                recipe.train.trainIters = 50
                (recipe.optimizer.lr, recipe.optimizer.minLR) = (mode.lr, mode.minLR)
                (recipe.train.evalInterval, recipe.train.evalIters) = (5, 10)
                (recipe.scheduler.lrWarmupIters, recipe.scheduler.lrDecayIters) = (10, 50)
                change(&recipe)
                return recipe
            }
        }
    }
}
