public import BridgeCore
import Glibc
public import Logging
import TensorRuntime

/// A training run: takes batches, steps and checkpoints until it is done or told to stop.
///
/// Nothing here depends on the time or on the number of threads: the same recipe, data and weights give the same numbers
/// on the same processor, also when the run was interrupted in between.
public final class Trainer {
    /// Why a run came to its end.
    public enum End: String, Sendable {
        /// All steps are done.
        case done
        /// A signal came.
        case interrupted
        /// The time or the number of steps for one process is over.
        case limit
    }

    /// What a run has done.
    public struct Outcome: Sendable {
        /// Why it ended.
        public var end: End
        /// How many steps are done, those of earlier processes included.
        public var iteration: Int
        /// How many of them this process has done.
        public var stepsDone = 0
        /// The loss of the last step; nil when there was none.
        public var loss: Double?
        /// The last validation.
        public var validation: ValidationRecord?
    }

    /// What the run is made of.
    public struct Components {
        /// The recipe, checked.
        public var recipe: Recipe
        /// The model, its components frozen as the recipe says.
        public var model: any CausalModel
        /// The model's adapters; nil where the model itself is trained.
        public var adapters: AdapterSet?
        /// The samples to learn from.
        public var samples: any BatchSource
        /// The samples to validate on; nil for none.
        public var validation: (any BatchSource)?
        /// What takes in the measurements.
        public var sinks: [any MetricsSink]
        /// Saves and restores; nil for a run without checkpoints.
        public var checkpoints: RunCheckpoints?
        /// Facts for reports.
        public var metadata: RunMetadata

        /// Components.
        public init(
            recipe: Recipe,
            model: any CausalModel,
            adapters: AdapterSet? = nil,
            samples: any BatchSource,
            validation: (any BatchSource)? = nil,
            sinks: [any MetricsSink] = [],
            checkpoints: RunCheckpoints? = nil,
            metadata: RunMetadata
        ) {
            self.recipe = recipe
            self.model = model
            self.adapters = adapters
            self.samples = samples
            self.validation = validation
            self.sinks = sinks
            self.checkpoints = checkpoints
            self.metadata = metadata
        }
    }

    private let components: Components
    private let optimizer: Optimizer
    private let schedule: LearningRateSchedule
    private let logger: Logger
    private var progress = RunProgress()
    private var lossMonitor: LossMonitor
    /// What takes in the measurements; one that fails on the way is left aside.
    private var sinks: [any MetricsSink]

    /// A run that has not begun.
    ///
    /// - Throws: `BridgeError` when nothing is trained.
    public init(_ components: Components, logger: Logger) throws {
        self.components = components
        self.logger = logger
        let trained = components.model.parameters + (components.adapters?.parameters ?? [])
        optimizer = try Optimizer(components.recipe.optimizer, trained, on: components.model.engine)
        schedule = LearningRateSchedule(
            optimizer: components.recipe.optimizer,
            scheduler: components.recipe.scheduler,
            trainIters: components.recipe.train.trainIters
        )
        lossMonitor = LossMonitor(components.recipe.train)
        sinks = components.sinks
    }

    /// How many numbers are trained.
    public var trainedParameterCount: Int { optimizer.parameterCount }

    /// Runs until all steps are done, or until it is told to stop; the last step is then saved.
    ///
    /// - Parameter shouldStop: Asked after every step.
    /// - Returns: What was done.
    /// - Throws: `BridgeError` for data that cannot be used, for a checkpoint that cannot be written at the end, after too
    ///   many steps without a finite loss, and when no step had anything to learn. What was supervised before is saved.
    public func run(shouldStop: () -> Bool = { false }) throws -> Outcome {
        let train = components.recipe.train
        let lock = try components.checkpoints?.lock()
        defer { withExtendedLifetime(lock) {} }
        try resume()
        for sink in sinks { try sink.begin(components.metadata, after: progress.iteration) }
        var outcome = Outcome(end: .done, iteration: progress.iteration)
        var trained = 0
        let start = ContinuousClock.now
        while progress.iteration < train.trainIters {
            let record: StepRecord
            do { record = try step() } catch { throw outcome.stepsDone == 0 ? error : saved(before: error) }
            outcome.loss = record.loss
            outcome.stepsDone += 1
            trained += record.trainedTokens
            tell { try $0.record(record) }
            if train.evalInterval > 0, progress.iteration % train.evalInterval == 0 {
                outcome.validation = try validate(shouldStop)
            }
            let isLast = progress.iteration == train.trainIters
            let end = isLast ? nil : reasonToStop(start, shouldStop)
            try save(isEnd: isLast || end != nil)
            if let end {
                outcome.end = end
                break
            }
        }
        try components.checkpoints?.wait()
        outcome.iteration = progress.iteration
        tell { try $0.finish() }
        guard outcome.stepsDone == 0 || trained > 0 else {
            throw BridgeError(
                .badArgument,
                "nothing was supervised: none of the \(outcome.stepsDone) steps had a token to learn from; "
                    + "'bridge data check' shows why"
            )
        }
        return outcome
    }

    /// Hands something to all sinks.
    ///
    /// A run is worth more than its logs: one that cannot be written any more, because the disk is full for instance, is
    /// given up with a word.
    private func tell(_ what: (any MetricsSink) throws -> Void) {
        sinks.removeAll { sink in
            do { try what(sink) } catch {
                let reason = (error as? BridgeError)?.message ?? "\(error)"
                logger.error("\(reason); training goes on without that log")
                return true
            }
            return false
        }
    }

    /// An error that ends the run, once the steps before it are saved.
    private func saved(before error: any Error) -> any Error {
        guard components.checkpoints != nil, let cause = error as? BridgeError else { return error }
        var words = "; the \(progress.iteration) steps before it are saved"
        do { try save(isEnd: true) } catch { words = "; the steps before it could not be saved: \(error)" }
        return BridgeError(cause.code, cause.message + words, names: cause.names, cause: cause.cause)
    }

    private func reasonToStop(_ start: ContinuousClock.Instant, _ shouldStop: () -> Bool) -> End? {
        if shouldStop() { return .interrupted }
        if let interval = components.recipe.train.exitInterval, interval > 0, progress.iteration % interval == 0 {
            return .limit
        }
        if let minutes = components.recipe.train.exitDurationInMins {
            if ContinuousClock.now - start >= .seconds(minutes * 60) { return .limit }
        }
        return nil
    }

    // MARK: One step

    private func step() throws -> StepRecord {
        let start = ContinuousClock.now
        let (train, section) = (components.recipe.train, components.recipe.optimizer)
        let count = max(1, train.globalBatchSize / train.microBatchSize)
        optimizer.clearGradients()
        var (loss, trained, tokens) = (0.0, 0, 0)
        for micro in 0..<count {
            let first = progress.consumedSamples + micro * train.microBatchSize
            let batch = try components.samples.batch(first: first, count: train.microBatchSize)
            let supervised = batch.supervisedCount
            tokens += batch.targets.count
            guard supervised > 0 else { continue }
            let weight = train.meanOfMeans ? 1 / Float(supervised) : 1
            // Dropout depends on the position of the micro-batch in the run and on nothing else.
            let dropout = RandomStream(seed: components.recipe.rng.seed, stream: UInt64(first) << 20)
            let value = try withDropout(dropout) {
                try components.model.loss(
                    batch.tokens,
                    targets: batch.targets,
                    weight: weight,
                    recomputation: components.recipe.model.recomputeGranularity
                )
            }
            value.backward()
            loss += Double(value.item)
            trained += supervised
        }
        // With micro-batches that all count the same there are as many means as micro-batches, and tokens otherwise.
        let total = train.meanOfMeans ? Double(count) : Double(max(trained, 1))
        loss /= total
        let norm = optimizer.gradientNorm() / total
        let number = progress.iteration + 1
        let rate = schedule.learningRate(at: number)
        // A checkpoint that is still being written reads what the next line changes.
        try components.checkpoints?.wait()
        switch try lossMonitor.check(loss: loss, gradientNorm: norm, iteration: number, trained: trained) {
        case .good:
            let clip = section.clipGrad > 0 ? min(1, section.clipGrad / (norm + 1e-6)) : 1
            optimizer.step(
                rate: rate,
                weightDecay: schedule.weightDecay(at: number),
                gradientScale: clip / total
            )
        case .notFinite:
            progress.nanIterations += 1
            logger.warning("step \(number) is left out: its loss is \(loss) and its gradient norm \(norm)")
        case .empty:
            progress.skippedIterations += 1
            logger.warning("step \(number) is left out: none of its tokens is supervised from")
        case .spike:
            progress.skippedIterations += 1
            logger.warning("step \(number) is left out: its loss \(loss) is far above the mean of those before")
        }
        progress.iteration = number
        progress.consumedSamples += count * train.microBatchSize
        progress.meanLoss = lossMonitor.meanLoss
        return StepRecord(
            iteration: number,
            totalIterations: train.trainIters,
            consumedSamples: progress.consumedSamples,
            seconds: (ContinuousClock.now - start).seconds,
            tokens: tokens,
            trainedTokens: trained,
            learningRate: rate,
            globalBatchSize: train.globalBatchSize,
            loss: loss,
            gradientNorm: norm,
            parametersNorm: components.recipe.logger.logParamsNorm ? optimizer.parametersNorm() : nil,
            operations: components.model.trainingOperations(tokens: tokens),
            skippedIterations: progress.skippedIterations,
            nanIterations: progress.nanIterations
        )
    }

    // MARK: Validation

    private func validate(_ shouldStop: () -> Bool) throws -> ValidationRecord? {
        guard let samples = components.validation else { return nil }
        let start = ContinuousClock.now
        let train = components.recipe.train
        var (loss, count) = (0.0, 0)
        for micro in 0..<train.evalIters * max(1, train.globalBatchSize / train.microBatchSize) {
            // The step is done, and a validation of some of the samples would be another number.
            if shouldStop() { return nil }
            let batch = try samples.batch(first: micro * train.microBatchSize, count: train.microBatchSize)
            guard batch.supervisedCount > 0 else { continue }
            let value = try withoutGradients { try components.model.loss(batch.tokens, targets: batch.targets) }
            loss += Double(value.item)
            count += batch.supervisedCount
        }
        guard count > 0 else { return nil }
        let record = ValidationRecord(
            iteration: progress.iteration,
            loss: loss / Double(count),
            perplexity: exp(min(loss / Double(count), 700)),
            seconds: (ContinuousClock.now - start).seconds
        )
        tell { try $0.record(record) }
        return record
    }

    // MARK: Checkpoints

    private var state: TrainingState {
        TrainingState(
            parameters: components.adapters.map { adapters in
                adapters.parameters + components.model.parameters.filter(\.isTrainable)
            } ?? components.model.parameters,
            adapters: components.adapters,
            moments: components.recipe.checkpoint.saveOptim ? optimizer.moments : []
        )
    }

    private func save(isEnd: Bool) throws {
        let interval = components.recipe.checkpoint.saveInterval
        guard let checkpoints = components.checkpoints, progress.iteration > 0,
            isEnd || (interval > 0 && progress.iteration % interval == 0)
        else { return }
        var progress = progress
        progress.optimizerSteps = optimizer.stepCount
        try checkpoints.save(state, progress, waits: isEnd)
    }

    private func resume() throws {
        guard let checkpoints = components.checkpoints, let found = try checkpoints.newest() else { return }
        progress = try checkpoints.restore(state, from: found)
        lossMonitor.meanLoss = progress.meanLoss
        optimizer.resume(after: progress.optimizerSteps)
        if !components.recipe.checkpoint.saveOptim { optimizer.takeParameters() }
        logger.notice("going on after step \(progress.iteration), from \(found)")
    }
}
