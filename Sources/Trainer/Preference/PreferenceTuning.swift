import BridgeCore
import Communication
import Logging
import Models
import Recipes
import TensorRuntime

/// Trains on pairs of answers: the loss of a micro-batch, its gradient and its metrics.
final class PreferenceTuning {
    private let loss: PreferenceLoss
    private let recipe: Recipe
    private let pairs: PreferencePairs
    private let model: any CausalModel
    /// The reference of the training pairs, then those of the validation sets; none for a loss without a reference.
    private let references: [ReferenceModel]
    /// Whether training leaves the reference as it is: only new adapters are trained.
    private let keepsReference: Bool
    /// The adapter that training begins with; nil for none.
    private let continuedAdapter: String?
    /// The checksum of ``PreferencePairs/key``; empty where no reference is kept.
    private var key = ""
    /// The sums over the pairs since the last ``takeSums()``.
    private var sums = PreferenceSums()

    /// The tuning of a run.
    init(_ pairs: PreferencePairs, _ components: Trainer.Components, _ passes: PipelineSchedule) {
        (self.pairs, recipe, model) = (pairs, components.recipe, components.model)
        loss = PreferenceLoss(recipe.preference)
        let sets = recipe.preference.needsReference ? [pairs.training] + pairs.validation : []
        // The model before training has the adapter that the run continues.
        let continued = components.recipe.peft.adapterNameOrPath
        let isContinued = components.adapters != nil && !continued.isEmpty
        continuedAdapter = isContinued ? continued : nil
        references = sets.map { ReferenceModel($0, components.model, passes, withAdapters: isContinued) }
        let isModelFrozen = !components.model.parameters.contains(where: \.isTrainable)
        keepsReference = components.adapters != nil && isModelFrozen && !isContinued
    }

    // MARK: The reference

    /// Computes the reference of all rows of the run, where training changes the model.
    ///
    /// - Returns: Whether it is done, and not stopped.
    func prepare(_ logger: Logger, shouldStop: () throws -> Bool) throws -> Bool {
        guard !keepsReference, !references.isEmpty else { return true }
        if let continuedAdapter {
            logger.notice(
                "the reference is the model with the adapter \(continuedAdapter), as training begins with it, not the model without it"
            )
        }
        key = try pairs.key()
        for (index, reference) in references.enumerated() {
            let (set, path) = index == 0 ? (pairs.training, "") : (pairs.validation[index - 1], "_validation_\(index)")
            let batches = index == 0 ? recipe.train.trainIters : recipe.train.evalIters
            let (positions, overflow) = batches.multipliedReportingOverflow(by: recipe.train.globalBatchSize)
            let count = overflow ? set.order.count : min(positions, set.order.count)
            let isDone = try reference.prepare(
                index == 0 ? pairs.order.rows(from: 0, count: count) : Array(0..<count),
                key: key,
                path: pairs.checkpoint.map { Files.join($0, ReferenceModel.fileName(path)) },
                logger,
                shouldStop: shouldStop
            )
            guard isDone else { return false }
        }
        return true
    }

    /// The files of a checkpoint with the reference; none where it is made again from the weights.
    var files: [(name: String, bytes: [UInt8])] {
        guard !keepsReference else { return [] }
        return references.enumerated().map { index, reference in
            (ReferenceModel.fileName(index == 0 ? "" : "_validation_\(index)"), reference.file(key: key))
        }
    }

    /// Makes the reference of rows known that are used next; all ranks of a copy of the model call it.
    ///
    /// It is not made inside of a step, where the ranks of a pipeline are at different micro-batches.
    func useRows(_ rows: [Int], validation: Int? = nil) throws {
        guard !references.isEmpty else { return }
        _ = try references[validation.map { $0 + 1 } ?? 0].pairs(rows)
    }

    // MARK: The loss

    /// The loss of a micro-batch of rows.
    func objective(
        _ batch: TrainingBatch,
        rows: [Int],
        validation: Int? = nil
    ) throws -> PipelineSchedule.MicroBatch.Objective {
        guard !references.isEmpty else { return objective(batch, references: []) }
        return objective(batch, references: try references[validation.map { $0 + 1 } ?? 0].pairs(rows))
    }

    /// The loss of a micro-batch of pairs: the mean over its pairs.
    ///
    /// - Parameters:
    ///   - batch: The sequences: chosen and rejected of the first pair, then of the second, and so on.
    ///   - references: The log-probabilities of each pair under the reference model; empty for a loss without one.
    /// - Returns: The loss from the residual stream.
    private func objective(
        _ batch: TrainingBatch,
        references: [ReferenceModel.Pair]
    ) -> PipelineSchedule.MicroBatch.Objective {
        { [self] stream in
            var value = 0.0
            let tensor = try model.loss(of: stream, batch.tokens, targets: batch.targets) { values in
                let weights: [Float]
                (value, weights) = try weighted(values, batch, references)
                return weights
            }
            return (tensor, value)
        }
    }

    /// The value of the loss and the weights of this rank's cross entropies.
    private func weighted(
        _ values: [TargetScore?],
        _ batch: TrainingBatch,
        _ references: [ReferenceModel.Pair]
    ) throws -> (value: Double, weights: [Float]) {
        let parallelism = model.decoder.parallelism
        let answers = try AnswerSums(values, batch, parallelism)
        let pairs = batch.tokens.batch / 2
        var slopes = [Double](repeating: 0, count: 2 * pairs)
        var value = 0.0
        for pair in 0..<pairs {
            func answer(_ row: Int, _ reference: Double?) -> PreferenceLoss.Answer {
                PreferenceLoss.Answer(
                    logProbability: answers.logProbabilities[row],
                    reference: reference ?? 0,
                    tokens: answers.tokens[row]
                )
            }
            let reference = references.isEmpty ? nil : references[pair]
            let (chosen, rejected) = (answer(2 * pair, reference?.chosen), answer(2 * pair + 1, reference?.rejected))
            let result = loss.value(chosen: chosen, rejected: rejected)
            value += result.loss / Double(pairs)
            // The derivative by a cross entropy is that by a log-probability with the other sign.
            slopes[2 * pair] = -result.chosenSlope / Double(pairs)
            slopes[2 * pair + 1] = -result.rejectedSlope / Double(pairs)
            sums.add(result, chosen: chosen.logProbability, rejected: rejected.logProbability)
        }
        var weights = values.indices.map { answers.isAnswer[$0] ? Float(slopes[$0 / answers.width]) : 0 }
        if recipe.preference.lossType == .orpo { try value += addCrossEntropy(to: &weights, values, batch, answers) }
        // The ranks that share a sequence have the same value, of which one counts.
        return (parallelism.groups.cp.rank == 0 ? value : 0, weights)
    }

    /// Adds the mean cross entropy of the supervised tokens of the chosen sequences; its value.
    private func addCrossEntropy(
        to weights: inout [Float],
        _ values: [TargetScore?],
        _ batch: TrainingBatch,
        _ answers: AnswerSums
    ) throws -> Double {
        let parallelism = model.decoder.parallelism
        let length = batch.tokens.length
        let count = batch.targets.indices.count { batch.targets[$0] >= 0 && $0 / length % 2 == 0 }
        guard count > 0 else { return 0 }
        let targets = try parallelism.own(batch.targets, of: batch.tokens)
        var sum = 0.0
        for index in values.indices where targets[index] >= 0 && index / answers.width % 2 == 0 {
            sum += Double(values[index]?.loss ?? 0)
            weights[index] += 1 / Float(count)
        }
        return try parallelism.groups.cp.allReduceSum([sum])[0] / Double(count)
    }

    /// The sums over the pairs since the last call, of all ranks; all ranks call it.
    ///
    /// - Throws: What the group throws.
    func takeSums() throws -> PreferenceSums {
        let groups = model.decoder.parallelism.groups
        let counts = groups.tp.rank == 0 && groups.cp.rank == 0
        defer { sums = PreferenceSums() }
        return .of(try groups.world.allReduceSum(counts ? sums.numbers : sums.numbers.map { _ in 0 }))
    }
}
