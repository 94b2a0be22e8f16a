import BridgeCore
import Communication
import Glibc
public import Logging
import TensorRuntime

/// A training run: batches, steps and checkpoints until it is done or stopped.
///
/// Results do not depend on time or the number of threads: the same recipe, data and weights give the same results
/// on the same processor, also when the run was interrupted and resumed.
public final class Trainer {
    /// The reason for the end of a run.
    public enum End: String, Sendable {
        /// All steps are done.
        case done
        /// A signal was received.
        case interrupted
        /// The limit of time or steps for one process was reached.
        case limit
        /// The metric of validations has not become better for `train.patience` validations.
        case patience
    }

    /// The outcome of a run.
    public struct Outcome: Sendable {
        /// The reason for its end.
        public var end: End
        /// The number of completed steps, including those of earlier processes.
        public var iteration: Int
        /// The number of steps of this process.
        public var stepsDone = 0
        /// The loss of the last step; nil if there was none.
        public var loss: Double?
        /// The last validation.
        public var validation: ValidationRecord?
        /// The best validation of the whole run; nil without any.
        public var best: RunProgress.Best?
    }

    private let components: Components
    private let optimizer: Optimizer
    private let groups: ProcessGroupCollection
    private let passes: PipelineSchedule
    private let schedule: LearningRateSchedule
    private let preference: PreferenceTuning?
    private let logger: Logger
    private let trace: ChromeTrace?
    private var progress = RunProgress()
    private var lossMonitor: LossMonitor
    /// The loss of the last step and the last validation of this process.
    private var lastLoss: Double?
    private var lastValidation: ValidationRecord?
    /// The receivers of events that have started; one that fails during the run is removed.
    private var callbacks: [any TrainerCallback] = []

    /// A run that has not started.
    ///
    /// - Throws: `BridgeError` when no parameter is trainable.
    public init(_ components: Components, logger: Logger) throws {
        self.components = components
        self.logger = logger
        let trained = components.model.parameters + (components.adapters?.parameters ?? [])
        groups = components.model.decoder.parallelism.groups
        optimizer = try Optimizer(
            components.recipe.optimizer,
            trained,
            rates: LearningRateFactors(components.recipe, components.model, components.adapters),
            on: components.model.engine,
            groups: groups,
            ddp: components.recipe.ddp,
            trace: components.trace?.events
        )
        trace = components.trace?.events
        passes = PipelineSchedule(
            components.model,
            recomputation: components.recipe.model.recomputeGranularity,
            trace: trace
        )
        schedule = LearningRateSchedule(
            optimizer: components.recipe.optimizer,
            scheduler: components.recipe.scheduler,
            trainIters: components.recipe.train.trainIters
        )
        lossMonitor = LossMonitor(components.recipe.train, components.recipe.optimizer)
        let passes = passes
        preference = components.pairs.map { PreferenceTuning($0, components, passes) }
        components.checkpoints?.hasSaved = { [weak self] checkpoint in self?.tell { try $0.onSave(checkpoint) } }
    }

    /// The number of trained parameter elements.
    public var trainedParameterCount: Int { optimizer.parameterCount }

    /// Runs until all steps are done or the run is stopped; the last step is then saved.
    ///
    /// - Parameter shouldStop: Called after every step.
    /// - Returns: The outcome.
    /// - Throws: `BridgeError` for data that cannot be used, for a checkpoint that cannot be written at the end, after too
    ///   many steps without a finite loss, and when no step had a supervised token. The steps before are saved.
    public func run(shouldStop: () -> Bool = { false }) throws -> Outcome {
        defer { components.checkpoints?.release() }
        do {
            let outcome = try runSteps(shouldStop)
            tell { try $0.onTrainEnd(.success(outcome)) }
            return outcome
        } catch {
            tell { try $0.onTrainEnd(.failure(error)) }
            throw error
        }
    }

    private func runSteps(_ shouldStop: () -> Bool) throws -> Outcome {
        let train = components.recipe.train
        // The reference is the model before the first step, so a resumed run prepares it before it reads its checkpoint.
        let isReady = try preference?.prepare(logger) { try stopsAnywhere(shouldStop) } ?? true
        guard isReady else { return Outcome(end: .interrupted, iteration: 0) }
        try resume()
        // Weights and data were read and checked through large buffers.
        ProcessMemory.releaseUnused()
        try trace?.align(groups.world)
        // A rank whose log cannot be written ends the others too.
        _ = try groups.world.agree {
            for callback in components.callbacks {
                try callback.onTrainStart(components.metadata, after: progress.iteration)
                callbacks.append(callback)
            }
            return []
        }
        var outcome = Outcome(end: .done, iteration: progress.iteration)
        if isEndedByPatience { (outcome.end, outcome.best) = (.patience, progress.best) }
        var trained = 0
        let notFinite = progress.nanIterations
        let start = ContinuousClock.now
        while progress.iteration < train.trainIters, outcome.end == .done {
            let record = try savingBeforeErrors(outcome) {
                try trace.measure("step", category: "step", [("iteration", progress.iteration + 1)]) { try step() }
            }
            (outcome.loss, lastLoss) = (record.loss, record.loss)
            outcome.stepsDone += 1
            trained += record.trainedTokens
            tell { try $0.onStepEnd(record) }
            var (isBest, hasValidated) = (false, false)
            if components.recipe.validates(after: progress.iteration, samples: components.samples.sampleCount) {
                outcome.validation = try savingBeforeErrors(outcome) {
                    try trace.measure("validation", category: "step") { try validate(shouldStop) }
                }
                hasValidated = outcome.validation != nil
                lastValidation = outcome.validation ?? lastValidation
                isBest = outcome.validation.map { progress.add($0, by: train.metricForBestModel) } ?? false
            }
            let isLast = progress.iteration == train.trainIters
            let end = isLast ? nil : try reasonToStop(start, shouldStop, hasValidated: hasValidated)
            progress.endedByPatience = end == .patience ? train.patience : nil
            try save(isEnd: isLast || end != nil, isBest: isBest)
            if let end {
                outcome.end = end
                break
            }
        }
        try components.checkpoints?.wait()
        if let trace = components.trace { try trace.events.write(to: trace.path, ranks: groups.world) }
        try components.checkpoints?.checkFollowUps()
        (outcome.iteration, outcome.best) = (progress.iteration, progress.best)
        guard outcome.stepsDone == 0 || trained > 0 else {
            throw BridgeError(
                .badArgument,
                "none of the \(outcome.stepsDone) steps had a supervised token; "
                    + "'bridge data check' shows the reasons"
            )
        }
        guard outcome.stepsDone == 0 || progress.nanIterations - notFinite < outcome.stepsDone else {
            throw BridgeError(
                .trainingDiverged,
                "none of the \(outcome.stepsDone) steps had a finite loss and gradient norm, so the parameters are unchanged; check "
                    + "the weights with 'bridge forward' and the data with 'bridge data check'"
            )
        }
        return outcome
    }

    /// Whether the run has ended by the same `train.patience` before, and is complete.
    private var isEndedByPatience: Bool {
        let train = components.recipe.train
        guard let patience = progress.endedByPatience, patience == train.patience else { return false }
        return progress.best.map { $0.metric == train.metricForBestModel } ?? true
    }

    /// Calls all callbacks.
    ///
    /// A failed log must not end a run: a log that cannot be written, for example because the disk is full, is
    /// removed with an error message.
    private func tell(_ what: (any TrainerCallback) throws -> Void) {
        callbacks.removeAll { callback in
            do { try what(callback) } catch {
                let reason = (error as? BridgeError)?.message ?? "\(error)"
                logger.error("\(reason); training continues without that log")
                return true
            }
            return false
        }
    }

    /// Runs `body`, of which an error ends the run once the steps before it are saved.
    private func savingBeforeErrors<Result>(_ outcome: Outcome, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            let shared = error as? DataFaults.Shared
            let cause = shared?.cause ?? error
            // All ranks save together, so all must know of the error; a loss that diverges does so on all.
            let isOfAll = shared != nil || (error as? BridgeError)?.code == .trainingDiverged
            guard outcome.stepsDone > 0, isOfAll || groups.world.size == 1 else { throw cause }
            throw saved(before: cause)
        }
    }

    /// An error that ends the run, once the steps before it are saved.
    private func saved(before error: any Error) -> any Error {
        let directory = components.recipe.checkpoint.save
        guard components.checkpoints != nil, !directory.isEmpty, let cause = error as? BridgeError else { return error }
        let count = progress.iteration
        let steps = count == 1 ? "the step before it is" : "the \(count) steps before it are"
        let path = Files.join(directory, NativeCheckpoint.iterationName(count))
        var note = "; \(steps) saved in \(path), from which the same command resumes"
        do { try save(isEnd: true) } catch {
            note = "; the steps before it could not be saved: \((error as? BridgeError)?.message ?? "\(error)")"
        }
        do { try components.checkpoints?.checkFollowUps() } catch {
            note += "; \((error as? BridgeError)?.message ?? "\(error)")"
        }
        return BridgeError(cause.code, cause.message + note, names: cause.names, cause: cause.cause)
    }

    /// Whether any rank has been told to stop; all ranks get the same answer.
    private func stopsAnywhere(_ shouldStop: () -> Bool) throws -> Bool {
        try groups.world.allReduceSum([shouldStop() ? 1 : 0])[0] > 0
    }

    private func reasonToStop(
        _ start: ContinuousClock.Instant,
        _ shouldStop: () -> Bool,
        hasValidated: Bool
    ) throws -> End? {
        if try stopsAnywhere(shouldStop) { return .interrupted }
        if hasValidated, let patience = components.recipe.train.patience, progress.validationsSinceBest >= patience {
            return .patience
        }
        if let interval = components.recipe.train.exitInterval, interval > 0, progress.iteration % interval == 0 {
            return .limit
        }
        if let minutes = components.recipe.train.exitDurationInMins {
            if try stopsAnywhere({ ContinuousClock.now - start >= .seconds(minutes * 60) }) { return .limit }
        }
        return nil
    }

    // MARK: One step

    private func step() throws -> StepRecord {
        let start = ContinuousClock.now
        let (train, section) = (components.recipe.train, components.recipe.optimizer)
        let count = max(1, train.globalBatchSize / (train.microBatchSize * groups.dp.size))
        let isPerToken = components.recipe.model.calculatePerTokenLoss && preference == nil
        var (loss, trained, tokens, dataSeconds) = try gradients(count, isPerToken: isPerToken)
        // The divisor is the number of micro-batches for a mean of means, and the number of tokens otherwise.
        let total = isPerToken ? Double(max(trained, 1)) : Double(count * groups.dp.size)
        loss /= total
        let norm = try trace.measure("gradient norm", category: "optimizer") { try optimizer.gradientNorm() } / total
        let number = progress.iteration + 1
        let rate = schedule.learningRate(at: number)
        // A checkpoint write in progress reads the parameters that the next line changes.
        try trace.measure("wait for save", category: "checkpoint") { try components.checkpoints?.wait() }
        switch try lossMonitor.check(loss: loss, gradientNorm: norm, iteration: number, trained: trained) {
        case .good:
            let clip = section.clipGrad > 0 ? min(1, section.clipGrad / (norm + 1e-6)) : 1
            try trace.measure("optimizer", category: "optimizer") {
                try optimizer.step(
                    rate: rate,
                    weightDecay: schedule.weightDecay(at: number),
                    gradientScale: clip / total
                )
            }
        case .notFinite:
            progress.nanIterations += 1
            logger.warning(
                "step \(number) is skipped: its loss is \(loss.plainText) and its gradient norm \(norm.plainText)"
            )
        case .empty:
            progress.skippedIterations += 1
            logger.warning("step \(number) is skipped: it has no supervised token")
        case .largeGradient:
            progress.skippedIterations += 1
            let limit = section.gradNormSkipThreshold ?? 0
            logger.warning(
                "step \(number) is skipped: its gradient norm \(norm) is above optimizer.grad_norm_skip_threshold=\(limit)"
            )
        case .spike:
            progress.skippedIterations += 1
            logger.warning("step \(number) is skipped: its loss \(loss) is far above the running mean")
        }
        progress.iteration = number
        progress.consumedSamples += count * train.microBatchSize * groups.dp.size
        progress.meanLoss = lossMonitor.meanLoss
        return StepRecord(
            iteration: number,
            totalIterations: train.trainIters,
            consumedSamples: progress.consumedSamples,
            seconds: (ContinuousClock.now - start).seconds,
            dataSeconds: dataSeconds,
            tokens: tokens,
            trainedTokens: trained,
            learningRate: rate * optimizer.loggedRateFactor,
            learningRates: optimizer.rateFactors.mapValues { rate * $0 },
            globalBatchSize: train.globalBatchSize,
            loss: loss,
            gradientNorm: norm,
            preference: try preference?.takeSums().metrics,
            parametersNorm: components.recipe.logger.logParamsNorm ? try optimizer.parametersNorm() : nil,
            operations: components.model.trainingOperations(tokens: tokens),
            skippedIterations: progress.skippedIterations,
            nanIterations: progress.nanIterations
        )
    }

    /// Computes the gradients of a step, summed over all copies of the model, with its loss, token counts and wait for data.
    ///
    /// - Throws: ``DataFaults/Shared`` on all ranks when the data of one cannot be used.
    private func gradients(
        _ count: Int,
        isPerToken: Bool
    ) throws -> (loss: Double, trained: Int, tokens: Int, dataSeconds: Double) {
        let train = components.recipe.train
        let data = DataFaults(groups.world)
        var (trained, tokens, dataSeconds) = (0, 0, 0.0)
        optimizer.clearGradients()
        func read(_ micro: Int) throws -> PipelineSchedule.MicroBatch? {
            let first = position(ofMicroBatch: micro)
            let start = ContinuousClock.now
            let batch = try components.samples.batch(first: first, count: train.microBatchSize)
            dataSeconds += (ContinuousClock.now - start).seconds
            let supervised = batch.supervisedCount
            tokens += batch.targets.count
            guard supervised > 0 else { return nil }
            trained += supervised
            var microBatch = PipelineSchedule.MicroBatch(
                batch,
                weight: isPerToken ? 1 : 1 / Float(supervised),
                // Dropout depends only on the position of the micro-batch in the run.
                dropout: RandomStream(seed: components.recipe.rng.seed, stream: UInt64(first) << 20)
            )
            microBatch.embeddingNoise = Float(train.neftuneNoiseAlpha ?? 0)
            microBatch.objective = try preference?.objective(batch, rows: rows(ofMicroBatch: micro))
            return microBatch
        }
        return try data.explaining {
            try data.reading { try preference?.useRows((0..<count).flatMap { rows(ofMicroBatch: $0) }) }
            let loss = try passes.run(
                count,
                next: { micro in try data.reading { try read(micro) } ?? nil },
                whenComplete: optimizer.gradientIsComplete
            )
            try trace.measure("reduce gradients", category: "optimizer") { try optimizer.reduceGradients() }
            let sums = try summed(loss, trained, tokens, data)
            return (sums.0, sums.1, sums.2, dataSeconds)
        }
    }

    /// The position in the run of the first sample of a micro-batch of this rank's data-parallel replica.
    ///
    /// Micro-batches are assigned round-robin to the replicas, so that those of a step do not depend on their number.
    private func position(ofMicroBatch index: Int) -> Int {
        progress.consumedSamples
            + (index * groups.dp.size + groups.dp.rank) * components.recipe.train.microBatchSize
    }

    /// The rows of the data set that are in a micro-batch.
    private func rows(ofMicroBatch index: Int) -> [Int] {
        let count = components.recipe.train.microBatchSize
        return components.samples.rows(first: position(ofMicroBatch: index), count: count)
    }

    /// The loss and the token counts of all copies of the model, if the data of none had an error.
    private func summed(_ loss: Double, _ trained: Int, _ tokens: Int, _ data: DataFaults) throws -> (Double, Int, Int)
    {
        // Ranks along the tensor axis have the same loss, and ranks of one copy the same tokens.
        let isFirst = groups.tp.rank == 0
        let counts = isFirst && groups.cp.rank == 0 && groups.pp.rank == 0
        let sums = try groups.world.allReduceSum([
            isFirst ? loss : 0, counts ? Double(trained) : 0, counts ? Double(tokens) : 0, data.count,
        ])
        try data.check(sums[3])
        return (sums[0], Int(sums[1]), Int(sums[2]))
    }

    // MARK: Validation

    private func validate(_ shouldStop: () -> Bool) throws -> ValidationRecord? {
        guard !components.validation.isEmpty else { return nil }
        let start = ContinuousClock.now
        var all = ValidationSums()
        var parts: [ValidationRecord.Part] = []
        for (index, (name, batches)) in components.validation.enumerated() {
            guard let sums = try validate(batches, set: index, shouldStop) else { return nil }
            all.add(sums)
            if sums.count > 0 { parts.append(ValidationRecord.Part(name: name, loss: sums.loss / Double(sums.count))) }
        }
        guard all.count > 0 else { return nil }
        let loss = all.loss / Double(all.count)
        let isOfTokens = preference == nil
        let record = ValidationRecord(
            iteration: progress.iteration,
            loss: loss,
            perplexity: isOfTokens ? exp(min(loss, 700)) : nil,
            tokenAccuracy: isOfTokens ? Double(all.hits) / Double(all.count) : nil,
            seconds: (ContinuousClock.now - start).seconds,
            parts: components.validation.count > 1 ? parts : [],
            preference: try preference?.takeSums().metrics
        )
        tell { try $0.onEvaluate(record) }
        return record
    }

    /// The sums over a data set's first batches, at most one pass; nil when the run stops.
    private func validate(_ batches: any BatchSource, set: Int, _ shouldStop: () -> Bool) throws -> ValidationSums? {
        let train = components.recipe.train
        let data = DataFaults(groups.world)
        var sums = ValidationSums()
        let stride = train.microBatchSize * groups.dp.size
        let wanted = train.evalIters * max(1, train.globalBatchSize / stride) * stride
        let sampleCount = batches.sampleCount.map { min($0, wanted) } ?? wanted
        for start in Swift.stride(from: 0, to: sampleCount, by: stride) {
            let first = start + groups.dp.rank * train.microBatchSize
            // The last samples may be too few for a full micro-batch on each rank.
            let count = max(0, min(train.microBatchSize, sampleCount - first))
            let rows = batches.rows(first: first, count: count)
            let read = try data.reading { () throws -> TrainingBatch? in
                guard count > 0 else { return nil }
                try preference?.useRows(rows, validation: set)
                return try batches.batch(first: first, count: count)
            }
            let told = try groups.world.allReduceSum([shouldStop() ? 1 : 0, data.count])
            try data.check(told[1])
            // The step is complete, and a validation on some of the samples would have another result.
            guard told[0] == 0 else { return nil }
            guard let batch = read ?? nil, batch.supervisedCount > 0 else { continue }
            var microBatch = PipelineSchedule.MicroBatch(batch)
            guard let preference else {
                let tokens = TokenScores(components.model)
                microBatch.objective = tokens.objective(batch)
                sums.add(
                    ValidationSums(
                        loss: try passes.evaluate(microBatch),
                        count: batch.supervisedCount,
                        hits: tokens.hits
                    )
                )
                continue
            }
            microBatch.objective = try preference.objective(batch, rows: rows, validation: set)
            sums.add(ValidationSums(loss: try passes.evaluate(microBatch) * Double(rows.count), count: rows.count))
        }
        (sums.loss, sums.count, _) = try summed(sums.loss, sums.count, 0, data)
        sums.hits = Int(try groups.world.allReduceSum([groups.tp.rank == 0 ? Double(sums.hits) : 0])[0])
        return sums
    }

    // MARK: Checkpoints

    private var state: TrainingState {
        TrainingState(
            parameters: components.adapters.map { adapters in
                adapters.parameters + components.model.parameters.filter(\.isTrainable)
            } ?? components.model.parameters,
            adapters: components.adapters,
            moments: components.recipe.checkpoint.saveOptim ? optimizer.moments : [],
            isDistributed: optimizer.isDistributed,
            rankLayers: components.model.decoder.parallelism.rankLayers
        )
    }

    private func save(isEnd: Bool, isBest: Bool = false) throws {
        let section = components.recipe.checkpoint
        let isDue =
            components.recipe.saves(after: progress.iteration, samples: components.samples.sampleCount)
            || section.saveFirstStep && progress.iteration == 1 || section.keepBest && isBest
        guard let checkpoints = components.checkpoints, progress.iteration > 0, isEnd || isDue else { return }
        try optimizer.awaitParameters()
        var progress = progress
        progress.optimizerSteps = optimizer.stepCount
        let files = preference?.files ?? []
        try checkpoints.save(state, progress, files: files, loss: lastLoss, validation: lastValidation, isEnd: isEnd)
    }

    private func resume() throws {
        guard let checkpoints = components.checkpoints, let found = checkpoints.newest else { return }
        progress = try checkpoints.restore(state, from: found)
        lossMonitor.meanLoss = progress.meanLoss
        optimizer.resume(after: progress.optimizerSteps)
        if !components.recipe.checkpoint.saveOptim { optimizer.takeParameters() }
        logger.notice("resuming after step \(progress.iteration) from \(found)")
    }
}
