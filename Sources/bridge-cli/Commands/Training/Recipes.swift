import ArgumentParser
import BridgeCore
import Communication
import JSONTree
import TensorRuntime
import Trainer

/// The recipes for training.
struct Recipes: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List, print, compare and check recipes for training.",
        discussion: """
            A recipe is a name of the list, or a YAML or JSON file with sections such as 'train:'. With the line \
            'recipe: NAME' a file changes settings of a recommended recipe.

            EXAMPLES:
              bridge recipes list
              bridge recipes show ministral3_3b_finetune_config --peft-scheme lora
              bridge recipes show run.yaml train.global_batch_size=64
              bridge recipes settings optimizer
              bridge recipes diff ministral3_3b_finetune_config \\
                gemma3_vl_4b_finetune_config
              bridge recipes check --recipe run.yaml --pretrained-checkpoint model \\
                train.train_iters=50
            """,
        subcommands: [List.self, Show.self, Settings.self, Diff.self, Check.self]
    )

    /// Lists the recipes.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the recommended recipes.")

        @OptionGroup var plugins: PluginOptions

        @OptionGroup var output: OutputOptions

        func run() throws {
            let templates = try plugins.catalog().recipes
            if output.json {
                return Output.json(
                    .array(
                        templates.map { template in
                            [
                                "name": .string(template.name), "summary": .string(template.summary),
                                "hf_path": .string(template.standard.hfPath),
                                "aliases": .array(template.aliases.map { .string($0) }),
                                "peft_schemes": .array(template.schemes.map { .string($0.rawValue) }),
                            ]
                        }
                    )
                )
            }
            Output.table(
                [["RECIPE", "MODEL", "FOR", "PEFT SCHEMES"]]
                    + templates.map {
                        [
                            $0.name, $0.standard.hfPath, $0.summary,
                            $0.schemes.map(\.rawValue).joined(separator: ", "),
                        ]
                    }
            )
        }
    }

    /// Prints one recipe.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a recipe with all its settings, as YAML for 'bridge train --recipe'."
        )

        @Argument(
            help: ArgumentHelp("A name from 'bridge recipes list', or a file.", valueName: "name|file"),
            completion: CompletionValues.recipes
        )
        var recipe: String

        @OptionGroup var change: RecipeChanges

        @OptionGroup var plugins: PluginOptions

        @OptionGroup var output: OutputOptions

        func run() throws {
            let result = try change.recipe(recipe, in: plugins.catalog()).recipe
            if output.json { return Output.json(result.json) }
            Output.text(Array(try result.yaml().utf8)[...])
        }
    }

    /// Compares two recipes.
    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the settings in which two recipes differ."
        )

        @Argument(
            help: ArgumentHelp("A name from 'bridge recipes list', or a file.", valueName: "name|file"),
            completion: CompletionValues.recipes
        )
        var first: String

        @Argument(
            help: ArgumentHelp("The recipe to compare with.", valueName: "name|file"),
            completion: CompletionValues.recipes
        )
        var second: String

        @OptionGroup var change: RecipeChanges

        @OptionGroup var plugins: PluginOptions

        @OptionGroup var output: OutputOptions

        func run() throws {
            let catalog = try plugins.catalog()
            let one = try change.recipe(first, in: catalog).recipe
            let other = try change.recipe(second, in: catalog).recipe
            let differences = one.differences(from: other)
            if output.json {
                return Output.json(
                    .object(JSONObject(differences.map { ($0.key, .array([$0.mine, $0.theirs])) }))
                )
            }
            if differences.isEmpty { return Output.line("The recipes are the same.") }
            func text(_ json: JSON) -> String { json.compactText }
            Output.table(
                [["SETTING", first, second]] + differences.map { [$0.key, text($0.mine), text($0.theirs)] }
            )
        }
    }

    /// Checks whether a run can start.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a run: its settings, the model and the data, and print it as YAML.",
            discussion: """
                Takes the options of 'bridge train' and refuses what it refuses, as far as no weight has to be read for that. \
                Directories that are not given are in SAVE_DIR, else in WORKSPACE/results, else in nemo_experiments of the \
                current directory.

                EXAMPLES:
                  bridge recipes check --recipe mistral_7b_finetune_config \\
                    --pretrained-checkpoint toy --dataset-type mock \\
                    dataset.num_images=0
                """
        )

        @OptionGroup var options: RecipeOptions

        @OptionGroup var plugins: PluginOptions

        @Option(
            name: .customLong("data-parallel-size"),
            help: ArgumentHelp("Number of replicas of the model.", valueName: "n")
        )
        var replicas = 1

        @OptionGroup var output: OutputOptions

        func validate() throws {
            try options.checkRecipe()
            guard (1...1 << 20).contains(replicas) else {
                throw ValidationError("--data-parallel-size is \(replicas), expected 1 to \(1 << 20)")
            }
        }

        func run() throws {
            let catalog = try plugins.catalog()
            let options = try RecipeChoice.completed(options, catalog).options
            var recipe = try options.resolved(catalog, dataParallelSize: replicas)
            // The same checks as 'train': model, data and directories, without reading weights.
            var environment = options.environment(
                of: recipe,
                catalog,
                engine: CPUEngine(threadCount: 1),
                isShapeOnly: true
            )
            // As many ranks as the layout of the recipe needs.
            let model = recipe.model
            let copy = model.tensorModelParallelSize * model.pipelineModelParallelSize * model.contextParallelSize
            environment.world = PlannedWorld(rank: 0, size: copy * replicas)
            let run = try TrainingRun(recipe, in: environment)
            // A recommended length may have been lowered to the model's maximum.
            recipe.model.seqLength = run.recipe.model.seqLength
            recipe.dataset.seqLength = run.recipe.dataset.seqLength
            if output.json { return Output.json(recipe.json) }
            Output.text(Array(try recipe.yaml().utf8)[...])
        }
    }
}
