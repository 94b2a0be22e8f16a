import ArgumentParser
import BridgeCore
import Communication
import JSONTree
import TensorRuntime

/// Estimates recipes on a number of devices.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Estimate memory and time of recipes on a number of devices, and find the best layout.",
        discussion: """
            For each recipe: the recommended layout with the memory of the rank that needs most and the time of a step, and \
            the fastest layout that fits the memory. Images are not counted. The formulas and the assumed efficiency \
            are in the article Planning of the documentation; 'bridge train --dry-run --world-size N' lists every rank.

            EXAMPLES:
              bridge plan --gpus 8
              bridge plan --gpus 16 --hardware h200 --json
              bridge plan --gpus 2 --hardware cpu --recipe ministral3_3b_peft_config
              bridge plan --gpus 4 --hardware cpu --recipe run/iter_0000100/run_config.yaml
            """
    )

    @Option(name: .long, help: ArgumentHelp("Number of devices, one for each rank.", valueName: "n"))
    var gpus: Int

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Kind of device: h100, h200 or cpu (a socket with 256 GB). (default: h100)",
            valueName: "kind"
        ),
        completion: .list(Hardware.allCases.map(\.rawValue)),
        transform: { text in
            guard let kind = Hardware(rawValue: text) else {
                throw ValidationError(
                    "found '\(text)', expected \(Hardware.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            return kind
        }
    )
    var hardware: Hardware = .h100

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Only this recipe: a name, or a YAML or JSON file. (default: all of 'bridge recipes list')",
            valueName: "name|file"
        ),
        completion: CompletionValues.recipes
    )
    var recipe: String?

    @OptionGroup var plugins: PluginOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...LayoutCheck.mostRanks).contains(gpus) else {
            throw ValidationError("--gpus is \(gpus), expected 1 to \(LayoutCheck.mostRanks)")
        }
    }

    func run() throws {
        let catalog = try plugins.catalog()
        let recipes = try recipe.map { [try recipe(named: $0, catalog)] } ?? catalog.recipes.map(\.standard)
        let engine = CPUEngine(threadCount: 1)
        let rows = try recipes.compactMap { recipe -> Row? in
            guard let bridge = try bridge(of: recipe, catalog) else { return nil }
            var planner = LayoutPlanner(
                bridge,
                recipe,
                ranks: gpus,
                on: hardware,
                engine: engine
            )
            return Row(
                recipe: recipe,
                faults: planner.check.faults,
                recommended: try planner.recommended(),
                best: try planner.best()
            )
        }
        guard !output.json else {
            return Output.json([
                "gpus": JSON(gpus), "hardware": .string(hardware.rawValue),
                "usable_memory_bytes": JSON(hardware.usableMemory), "recipes": .array(rows.map(\.json)),
            ])
        }
        Output.table(
            [["RECIPE", "RECOMMENDED LAYOUT", "MEMORY", "STEP", "FITS", "BEST LAYOUT", "MEMORY", "STEP"]]
                + rows.map(\.cells)
        )
        Output.line()
        Output.line(
            "Memory is that of the rank that needs most, of \(ByteFormat.text(hardware.usableMemory)) that a run may use."
        )
        for row in rows where !row.faults.isEmpty {
            Output.line("\(row.recipe.name): \(row.faults.joined(separator: "; "))")
        }
    }

    private func recipe(named name: String, _ catalog: PluginCatalog) throws -> Recipe {
        guard RecipeChanges.isOfFile(name) else { return try catalog.recipe(named: name).standard }
        return try Recipe(contentsOf: name) { try catalog.recipe(named: $0).recipe(peft: $1) }
    }

    /// The model of a recipe: of a file the one that it trains, otherwise the published one; nil if that is not known.
    private func bridge(of recipe: Recipe, _ catalog: PluginCatalog) throws -> AutoBridge? {
        let weights = recipe.checkpoint.pretrainedCheckpoint
        if self.recipe != nil, !weights.isEmpty { return try HubDirectory.planning(weights, catalog) }
        if let configuration = catalog.publishedConfiguration(of: recipe) {
            return try AutoBridge.fromHFConfig(configuration, catalog: catalog)
        }
        guard self.recipe != nil else { return nil }
        throw BridgeError(
            .badArgument,
            "\(recipe.name) names no model of a published size; set checkpoint.pretrained_checkpoint in its file"
        )
    }

    /// A recipe with its layouts.
    private struct Row {
        let recipe: Recipe
        let faults: [String]
        let recommended: LayoutPlanner.Candidate?
        let best: LayoutPlanner.Candidate?

        var cells: [String] {
            let model = recipe.model
            let name =
                recommended.map { "\($0.layout)" }
                ?? "TP \(model.tensorModelParallelSize) x PP \(model.pipelineModelParallelSize) x CP "
                + "\(model.contextParallelSize)"
            return [recipe.name, name] + Self.numbers(recommended)
                + [recommended.map { $0.fits ? "yes" : "no" } ?? "no"]
                + [best.map { "\($0.layout)\(Self.recomputation($0, recipe))" } ?? "none"] + Self.numbers(best)
        }

        private static func numbers(_ candidate: LayoutPlanner.Candidate?) -> [String] {
            candidate.map { [ByteFormat.text($0.bytes), "\(ByteFormat.rounded($0.time.seconds, digits: 2)) s"] }
                ?? ["-", "-"]
        }

        private static func recomputation(_ candidate: LayoutPlanner.Candidate, _ recipe: Recipe) -> String {
            candidate.recomputation == recipe.model.recomputeGranularity
                ? "" : ", recompute \(candidate.recomputation.rawValue)"
        }

        var json: JSON {
            [
                "recipe": .string(recipe.name), "faults": .array(faults.map { .string($0) }),
                "recommended": recommended.map(Self.json) ?? .null, "best": best.map(Self.json) ?? .null,
            ]
        }

        private static func json(_ candidate: LayoutPlanner.Candidate) -> JSON {
            let (layout, time) = (candidate.layout, candidate.time)
            return [
                "tensor_model_parallel_size": JSON(layout.tensor),
                "pipeline_model_parallel_size": JSON(layout.pipeline),
                "context_parallel_size": JSON(layout.context), "data_parallel_size": JSON(layout.data),
                "recompute_granularity": .string(candidate.recomputation.rawValue), "bytes": JSON(candidate.bytes),
                "fits": .bool(candidate.fits), "seconds": JSON(time.seconds), "compute_seconds": JSON(time.compute),
                "exchange_seconds": JSON(time.exchange), "bubble_seconds": JSON(time.bubble),
                "reduction_seconds": JSON(time.reduction),
            ]
        }
    }
}

extension PluginCatalog {
    /// The configuration of the published model that a recipe is for, by the size in its name; nil if it is not known.
    fileprivate func publishedConfiguration(of recipe: Recipe) -> JSON? {
        let words = recipe.name.split(separator: "_").map(String.init)
        return family(ofRecipesFor: recipe.hfPath)?.toy.realSizes.first { words.contains($0.name) }?.configuration
    }
}
