import BridgeCore
import Communication
import Foundation
import JSONTree
import Trainer

/// Prints a training run before its start and after its end.
struct RunPrinter {
    let run: TrainingRun
    let isSilent: Bool

    private func grouped(_ count: Int) -> String { count.formatted(.number.grouping(.automatic)) }

    /// A table of the model's parts, with the numbers of trained parameters.
    ///
    /// - Throws: What the ranks throw, all of which have a part.
    func showParts() throws {
        let parts = try run.wholeParts()
        guard !isSilent else { return }
        let (total, trained) = (parts.reduce(0) { $0 + $1.count }, parts.reduce(0) { $0 + $1.trained })
        var rows = [["module", "parameters", "trained", ""]]
        for part in parts {
            let share = part.count == 0 ? 0 : 100 * Double(part.trained) / Double(part.count)
            rows.append([
                part.name, grouped(part.count), grouped(part.trained),
                share.formatted(.number.precision(.fractionLength(2))) + " %",
            ])
        }
        let share = 100 * Double(trained) / Double(max(total, 1))
        rows.append([
            "all", grouped(total), grouped(trained),
            share.formatted(.number.precision(.fractionLength(2))) + " %",
        ])
        Output.table(rows)
        Output.line()
    }

    /// The plan of the run.
    ///
    /// - Throws: `BridgeError` for adapters that the model cannot have.
    func showPlan(of estimate: RunEstimate, json: Bool) throws {
        let recipe = estimate.recipe
        let micro = recipe.train.globalBatchSize / recipe.train.microBatchSize
        let ranks = RankTable(estimate)
        let tokens = recipe.train.globalBatchSize * recipe.rowLength
        let operations = run.model.trainingOperations(tokens: tokens)
        let schedule = LearningRateSchedule(
            optimizer: recipe.optimizer,
            scheduler: recipe.scheduler,
            trainIters: recipe.train.trainIters
        )
        // The rates that the log will have.
        let factor = run.loggedRateFactor
        let last = recipe.train.trainIters
        let steps = Set([1, recipe.scheduler.lrWarmupIters, last / 4, last / 2, 3 * last / 4, last]).filter { $0 > 0 }
            .sorted()
        guard !json else {
            return Output.json([
                "recipe": recipe.json,
                "micro_batches_per_step": JSON(micro),
                "most_tokens_per_step": JSON(tokens),
                "samples": run.sampleCount.map { JSON($0) } ?? .null,
                "resumed_from": run.resumedFrom.map { .string($0) } ?? .null,
                "state_bytes": JSON(run.stateByteCount),
                "operations_per_step": JSON(operations),
                "layout": ranks.layoutJSON,
                "ranks": ranks.json,
                "parts": .array(
                    run.parts.map {
                        [
                            "name": .string($0.name), "parameters": JSON($0.count),
                            "trained": JSON($0.trained),
                        ]
                    }
                ),
                "schedule": .array(
                    steps.map {
                        [
                            "step": JSON($0),
                            "learning_rate": JSON(factor * schedule.learningRate(at: $0)),
                            "weight_decay": JSON(schedule.weightDecay(at: $0)),
                        ]
                    }
                ),
            ])
        }
        try showParts()
        let samples = run.sampleCount.map { count in
            let epochs = Double(last * recipe.train.globalBatchSize) / Double(max(count, 1))
            return "\(grouped(count)), used \(epochs.formatted(.number.precision(.fractionLength(2)))) times"
        }
        Output.table([
            ["recipe", recipe.name], ["scheme", recipe.peft.scheme == .none ? "full" : recipe.peft.scheme.rawValue],
            [
                recipe.dataset.packsAhead ? "packed rows" : "samples",
                samples ?? "unknown: the data set is on the hub, and a dry run downloads no data",
            ],
            ["micro-batches per step", "\(micro) of \(recipe.train.microBatchSize)"],
            ["tokens per step", "at most \(grouped(tokens))"],
            [
                "operations per step",
                "\((operations / 1e12).formatted(.number.precision(.significantDigits(3)))) TFLOP",
            ],
            ["layout", "\(estimate.layout), \(ByteFormat.counted(estimate.layout.rankCount, "rank"))"],
            ["weights, gradients, optimizer", ByteFormat.text(run.stateByteCount)],
            ["checkpoints", recipe.checkpoint.save.isEmpty ? "none" : recipe.checkpoint.save],
            ["start", run.resumedFrom.map { "resumes from \($0)" } ?? "new run"],
        ])
        Output.line()
        ranks.show()
        Output.line()
        Output.table(
            [["step", "learning rate", "weight decay"]]
                + steps.map { step in
                    [
                        "\(step)", String(format: "%.3e", factor * schedule.learningRate(at: step)),
                        String(format: "%.4f", schedule.weightDecay(at: step)),
                    ]
                }
        )
    }

    /// How the run ended.
    func show(_ outcome: Trainer.Outcome, json: Bool) {
        let statistics = run.statistics
        guard !json else {
            var result: JSON = [
                "stop_reason": .string(outcome.end.rawValue), "iteration": JSON(outcome.iteration),
                "steps": JSON(outcome.stepsDone),
                "checkpoints": .string(run.recipe.checkpoint.save),
                "samples": JSON(statistics.sampleCount),
                "samples_without_trained_token": JSON(statistics.withoutTrainedToken),
            ]
            if let loss = outcome.loss { result.set(JSON(loss), at: "loss") }
            if let validation = outcome.validation {
                result.set(JSON(validation.loss), at: "validation_loss")
            }
            if let best = outcome.best {
                let key = best.metric == .loss ? "validation_loss" : best.metric.rawValue
                result.set(
                    .object(JSONObject([("iteration", JSON(best.iteration)), (key, JSON(best.value))])),
                    at: "best"
                )
            }
            result.set(.array(run.notes.unreadKeys.map { .string($0) }), at: "unread_keys")
            result.set(.array(run.notes.marksOfPrompts.map { .string($0) }), at: "marks_of_prompts")
            result.set(run.notes.rowsWithoutEnd.json, at: "rows_without_end")
            return Output.json(result.alsoUnder(["stop_reason": "end", "steps": "steps_done"]))
        }
        if statistics.withoutTrainedToken > 0 {
            Output.printError(
                "warning: \(statistics.withoutTrainedToken) of \(statistics.sampleCount) samples have no supervised token; "
                    + "'bridge data check' lists them"
            )
        }
        let location = run.recipe.checkpoint.save.isEmpty ? "" : "; checkpoints in \(run.recipe.checkpoint.save)"
        switch outcome.end {
        case .done where outcome.stepsDone == 0:
            Output.line(
                "Nothing left to do: \(run.resumedFrom ?? "the checkpoint") has all \(outcome.iteration) steps; raise "
                    + "\(run.recipe.keyOfLength) to continue, or start a new run with another checkpoint.save"
            )
        case .done: Output.line(Style.green("✅ Done after step \(outcome.iteration)\(location)"))
        case .patience where outcome.stepsDone == 0:
            Output.line(
                "Nothing left to do: \(run.resumedFrom ?? "the run") was stopped by train.patience after step "
                    + "\(outcome.iteration); raise train.patience to continue, or start a new run with another checkpoint.save"
            )
        case .patience:
            Output.line(
                "Stopped after step \(outcome.iteration)\(location): no better \(run.recipe.train.metricForBestModel.title) for "
                    + ByteFormat.counted(run.recipe.train.patience ?? 0, "validation")
            )
        case .interrupted, .limit:
            Output.line("Stopped after step \(outcome.iteration)\(location); the same command resumes there")
        }
        let next = NextCommands(run, outcome)
        if let best = outcome.best {
            Output.line(
                "Best \(best.metric.title): \(String(format: "%.6f", best.value)) after step \(best.iteration)"
                    + (next.best.map { ", \($0)" } ?? "")
            )
        }
        for line in next.lines { Output.line(line) }
    }
}
