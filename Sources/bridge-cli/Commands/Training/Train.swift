import ArgumentParser
import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// Trains a model with a recipe.
struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fine-tune a model: in full, or with LoRA or DoRA adapters.",
        discussion: """
            An interrupted run resumes from its newest checkpoint. On Ctrl-C, SIGTERM and the end of the session (SIGHUP) \
            the step is finished and saved.

            EXAMPLES:
              bridge train --hf-model toy --data chats.jsonl
              bridge train --recipe mistral_7b_finetune_config \\
                --pretrained-checkpoint toy --dataset-type preloaded \\
                dataset.train_data_path=chats.jsonl train.train_iters=100
              bridge train --recipe ministral3_3b_finetune_config \\
                --pretrained-checkpoint toy-vl --peft-scheme lora \\
                --dataset-type mock checkpoint.save=run
              bridge train --recipe run/iter_0000100/run_config.yaml
              bridge train --recipe ministral3_3b_finetune_config -tp 2 \\
                --pretrained-checkpoint toy-vl --dry-run --world-size 8
              bridge train --watch run
            """
    )

    @OptionGroup var recipe: RecipeOptions

    @Flag(name: .customLong("dry-run"), help: "Print the plan of the run, and do not train.")
    var dryRun = false

    @Option(
        name: .customLong("world-size"),
        help: ArgumentHelp(
            "Number of ranks that --dry-run describes; none is started. (default: --nproc-per-node)",
            valueName: "n"
        )
    )
    var worldSize: Int?

    @Flag(name: .long, help: "Also print the average step time for each kind of operation.")
    var profile = false

    @Option(
        name: .customLong("chrome-trace"),
        help: ArgumentHelp(
            "Also write a trace of the steps of all ranks to this file, for Perfetto or chrome://tracing.",
            valueName: "file"
        ),
        completion: .file(extensions: ["json"])
    )
    var chromeTrace: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Show a run of another process, and do not train: its losses as a curve, its rate and the time that is left.",
            valueName: "dir"
        ),
        completion: .directory
    )
    var watch: String?

    @OptionGroup var ranks: RankOptions
    @OptionGroup var slurm: SlurmOptions
    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var threads: ThreadOptions
    @OptionGroup var pushing: PushOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard watch == nil else { return }
        try recipe.checkRecipe()
        try slurm.check(ranks, dryRun: dryRun)
        guard chromeTrace == nil || !dryRun else {
            throw ValidationError(
                "--chrome-trace has no effect with --dry-run, which trains nothing; remove one of them"
            )
        }
        guard let worldSize else { return }
        guard dryRun else { throw ValidationError("--world-size is only used with --dry-run") }
        guard (1...LayoutCheck.mostRanks).contains(worldSize) else {
            throw ValidationError("--world-size is \(worldSize), expected 1 to \(LayoutCheck.mostRanks)")
        }
    }

    func run() throws {
        if let watch {
            try RunView.checkOptions(Array(CommandLine.arguments.dropFirst(2)))
            return try RunView(RunMonitor(watch)).show(json: output.json)
        }
        let catalog = try plugins.catalog()
        let chosen = try RecipeChoice.completed(recipe, catalog)
        let recipe = chosen.options
        if slurm.slurm {
            // A job that cannot start is known before it waits for its nodes.
            _ = try recipe.resolved(catalog, ranks: slurm.rankCount(ranks)) { _ in }
            let arguments = Array(CommandLine.arguments.dropFirst())
            return slurm.printScript("bridge-train", ranks, arguments: arguments)
        }
        if dryRun { return try describe(chosen, catalog) }
        // The file is on the host of rank 0.
        if RankEnvironment.current != .mpi { try checkTrace() }
        // A run that cannot start is one message, not one of each rank.
        if let count = ranks.startedCount { _ = try recipe.resolved(catalog, ranks: count) { _ in } }
        let world = try ranks.world(
            "bridge train",
            threads: threads.asked,
            advice: "the run resumes from its last checkpoint with the same command"
        )
        if world.rank == 0 {
            try checkTrace()
            chosen.explain()
        }
        var resolved = try recipe.resolved(catalog, ranks: world.size) { Output.printError("note: \($0)") }
        if pushing.id != nil {
            if resolved.checkpoint.alsoSaveHFCheckpoint == .none {
                // The best checkpoint is uploaded, and which one that is is known at the end.
                resolved.checkpoint.alsoSaveHFCheckpoint = resolved.checkpoint.keepBest ? .each : .last
            }
            if world.rank == 0 { try pushing.check() }
        }
        world.limitWaits(to: .seconds(60 * resolved.dist.distributedTimeoutMinutes))
        let json = output.json
        let processor = CPUEngine(threadCount: threads.count)
        let measuring = profile ? MeasuringEngine(processor) : nil
        var environment = recipe.environment(of: resolved, catalog, engine: measuring ?? processor, isShapeOnly: false)
        environment.world = world
        environment.tracePath = chromeTrace
        if world.size > 1 { environment.facts = Ranks.facts(catalog) }
        let weights = resolved.checkpoint.pretrainedCheckpoint
        // Downloads are kept, and a signal during loading loses nothing.
        if HubRepository(meantBy: weights) != nil { _ = try HubDirectory.resolve(weights) }
        let run = try TrainingRun(resolved, in: environment)
        let printer = RunPrinter(run: run, isSilent: json)
        Output.countsAsLog(!json)
        try printer.showParts()
        let breakdown = measuring.map { engine in
            StepBreakdown(engine: engine) { Output.table($0, write: json ? Output.printError : { Output.line($0) }) }
        }
        Interrupt.finishesStep()
        let trainer = try run.trainer(
            callbacks: world.rank > 0
                ? [] : try RunCallbacks.standard(for: run, isSilent: json) + (breakdown.map { [$0] } ?? []),
            metadata: [
                ("machine", processor.name), ("threads", "\(processor.pool.threadCount)"),
                ("ranks", world.size == 1 ? "1" : "\(world.size) (\(run.groups.layout))"),
            ]
        )
        let outcome = try trainer.run { Interrupt.cancellation.isCancelled }
        printer.show(outcome, json: json)
        if let chromeTrace, world.rank == 0 { Output.printError("trace: \(chromeTrace), for https://ui.perfetto.dev") }
        if world.rank == 0 { try push(outcome, of: resolved) }
        if outcome.end == .interrupted { throw ExitCode(130) }
    }

    /// Uploads the Hugging Face directory of a run that has ended, if requested.
    ///
    /// - Throws: `BridgeError` that tells what is complete, and how to upload it later.
    private func push(_ outcome: Trainer.Outcome, of recipe: Recipe) throws {
        guard let id = pushing.id else { return }
        guard outcome.end == .done || outcome.end == .patience else {
            return Output.printError(
                "note: nothing was uploaded to \(id), because the run has not ended; resume it with the same command"
            )
        }
        let best = outcome.best.map { CheckpointFollowUp.directory(of: recipe, iteration: $0.iteration) }
        let directory =
            best.flatMap { Files.kind(of: $0) == .directory ? $0 : nil }
            ?? CheckpointFollowUp.directory(of: recipe, iteration: outcome.iteration)
        do { try pushing.push(directory, isSilent: output.json) } catch let error as BridgeError
            where error.code != .cancelled
        {
            throw BridgeError(
                error.code,
                "the run has ended and its checkpoints are complete, but \(directory) was not uploaded: \(error.message); when that is "
                    + "solved, upload it with 'bridge hub upload \(id) \(directory)'",
                names: error.names,
                cause: error
            )
        }
    }

    /// Refuses before the run a trace that could not be written after it.
    private func checkTrace() throws {
        guard let chromeTrace else { return }
        let directory = URL(filePath: chromeTrace).deletingLastPathComponent().path
        guard Files.kind(of: chromeTrace) != .directory, Files.isWritable(directory) else {
            throw BridgeError(
                .fileSystem,
                "--chrome-trace is \(chromeTrace), expected a file in a directory that exists and is writable"
            )
        }
    }

    /// Prints the plan of the run, on one rank whatever their number.
    private func describe(_ chosen: RecipeChoice.Result, _ catalog: PluginCatalog) throws {
        let recipe = chosen.options
        chosen.explain()
        let count = worldSize ?? ranks.describedCount
        let resolved = try recipe.resolved(catalog, ranks: count) { Output.printError("note: \($0)") }
        let engine = CPUEngine(threadCount: threads.count)
        var single = resolved
        single.model.useOneRank()
        let run = try TrainingRun(
            single,
            in: recipe.environment(of: single, catalog, engine: engine, isShapeOnly: true)
        )
        var shown = run.recipe
        shown.model = resolved.model
        shown.model.seqLength = run.recipe.model.seqLength
        let estimate = try RunEstimate(run.bridge, shown, ranks: count, on: engine)
        try RunPrinter(run: run, isSilent: output.json).showPlan(of: estimate, json: output.json)
    }
}
