public import BridgeCore
public import Communication
import JSONTree
public import Logging

/// The checkpoints of a run: written during training, read when it is resumed.
///
/// The tensors are written without a copy. Parameters change once per step, at its end, so a write has the time of a whole
/// forward and backward pass; ``wait()`` is called before they change.
public final class RunCheckpoints {
    private let bridge: AutoBridge
    private let recipe: Recipe
    /// `run_config.yaml`: everything that reproduces the run.
    private let configuration: [UInt8]
    private let sources: RunSources?
    private let logger: Logger
    private let directory: RunDirectory
    private let groups: ProcessGroupCollection
    private let trace: ChromeTrace?
    private let followUp: CheckpointFollowUp
    private var writer: BackgroundTask?
    /// The failures of what follows checkpoints, which end no run.
    private var followUpFailures: [BridgeError] = []
    /// Called with each checkpoint that is complete, on the thread that saves or waits.
    var hasSaved: (SavedCheckpoint) -> Void = { _ in }

    private var section: Recipe.CheckpointSection { recipe.checkpoint }

    /// Checkpoints in the directory `checkpoint.save` of a recipe.
    public init(
        _ bridge: AutoBridge,
        _ recipe: Recipe,
        directory: RunDirectory,
        configuration: [UInt8],
        sources: RunSources? = nil,
        groups: ProcessGroupCollection = .single,
        trace: ChromeTrace? = nil,
        logger: Logger
    ) {
        self.groups = groups
        self.sources = sources
        self.trace = trace
        self.bridge = bridge
        self.recipe = recipe
        self.directory = directory
        self.configuration = configuration
        self.logger = logger
        followUp = CheckpointFollowUp(bridge: bridge, recipe: recipe)
    }

    /// The checkpoint that the run resumes from; nil for a new run.
    public var newest: String? { directory.newest }

    /// Releases the lock of the directory.
    func release() { directory.release() }

    /// Checks before a run whether its checkpoints can be written to a directory.
    ///
    /// - Throws: `BridgeError` when the path is not a directory, or is not writable.
    static func checkDirectory(_ path: String) throws {
        guard !path.isEmpty else { return }
        try NativeCheckpoint.checkDestination(path)
        try Destination.check(path, against: [])
        var location = Destination.resolved(path)
        while !Files.exists(location), location != "/" { location = Files.parent(of: location) }
        guard Files.kind(of: location) == .directory else {
            throw BridgeError(
                .fileSystem,
                "checkpoint.save is \(path), and \(location) is not a directory; set another one"
            )
        }
        guard Files.isWritable(location) else {
            throw BridgeError(
                .fileSystem,
                "checkpoint.save is \(path), and \(location) is not writable; set another directory"
            )
        }
    }

    /// Loads the tensors of a run from an iteration.
    ///
    /// - Returns: The progress of the run.
    /// - Throws: `BridgeError` when the iteration is damaged or does not fit the run.
    public func restore(_ state: TrainingState, from path: String) throws -> RunProgress {
        let name = path + "/" + RunProgress.fileName
        guard Files.exists(name) else {
            guard !NativeCheckpoint.missingFiles(of: path).contains(RunProgress.fileName) else {
                throw BridgeError(
                    .corruptInput,
                    "\(path) lacks \(RunProgress.fileName), which was written with it; restore the file, or resume from another iteration"
                )
            }
            if let found = try AutoBridge.megatronProgress(path), found.steps > 0 {
                return try continued(state, from: path, found)
            }
            throw BridgeError(
                .badArgument,
                "\(path) has no \(RunProgress.fileName): it was converted, not trained; "
                    + "give it as checkpoint.pretrained_checkpoint"
            )
        }
        let json: JSON
        do { json = try JSON(contentsOf: name) } catch let error as BridgeError where error.code == .corruptInput {
            throw BridgeError(
                .corruptInput,
                "\(error.message); remove that iteration to resume from the one before"
            )
        }
        let progress = try RunProgress(json: json, name: name)
        _ = try groups.world.agree {
            guard groups.rank == 0, let damage = try NativeCheckpoint.check(path).corruptFiles.first else { return [] }
            throw BridgeError(
                .corruptInput,
                "\(path)/\(damage.file) \(damage.problem); remove that iteration to resume from the one before"
            )
        }
        try bridge.restore(state, from: path, groups: groups)
        return progress
    }

    /// Loads the tensors of a run of another program.
    private func continued(
        _ state: TrainingState,
        from path: String,
        _ found: AutoBridge.MegatronProgress
    ) throws -> RunProgress {
        var progress = RunProgress()
        (progress.iteration, progress.consumedSamples) = (found.steps, found.consumedSamples)
        progress.optimizerSteps = found.optimizerSteps ?? found.steps
        try bridge.restore(state, from: path, groups: groups)
        logger.notice("the run continues a checkpoint of Megatron at step \(found.steps): \(path)")
        return progress
    }

    /// Writes a checkpoint, in the background with `checkpoint.async_save`.
    ///
    /// A failure during training, such as a full disk, is logged and leaves the existing checkpoints; training
    /// continues.
    ///
    /// - Parameters:
    ///   - state: The tensors, which must not change before ``wait()`` returns.
    ///   - progress: The progress of the run.
    ///   - more: Further files of the checkpoint.
    ///   - loss: The loss of the last step, for the model card.
    ///   - validation: The last validation, for the model card.
    ///   - waits: Whether the run ends: then it waits for the write, and throws its error.
    /// - Throws: `BridgeError` when it waits and the checkpoint cannot be written.
    public func save(
        _ state: TrainingState,
        _ progress: RunProgress,
        files more: [(name: String, bytes: [UInt8])] = [],
        loss: Double? = nil,
        validation: ValidationRecord? = nil,
        isEnd waits: Bool
    ) throws {
        guard !section.save.isEmpty else { return }
        try wait()
        let (bridge, section, groups, trace, followUp) = (bridge, section, groups, trace, followUp)
        let card = ModelCard(recipe: recipe, progress: progress, loss: loss, validation: validation)
        let container = container(progress)
        let files =
            [
                (AutoBridge.runConfigurationName(in: container), configuration),
                (RunProgress.fileName, progress.json.text()),
            ] + (sources.map { [(RunSources.fileName, $0.json.text())] } ?? []) + more.map { ($0.name, $0.bytes) }
        @Sendable func write() throws {
            try trace.measure(
                "save",
                category: "checkpoint",
                lane: .checkpoint,
                [("iteration", progress.iteration)],
                writeFiles
            )
        }
        @Sendable func writeFiles() throws {
            try bridge.save(
                state,
                to: section.save,
                iteration: progress.iteration,
                files: files,
                container: container,
                groups: groups
            )
            guard groups.rank == 0 else { return }
            if section.mostRecentK > 0 {
                let best = section.keepBest ? progress.best?.iteration : nil
                _ = try NativeCheckpoint.prune(section.save, keeping: section.mostRecentK, best: best)
            }
            guard followUp.isNeeded(isEnd: waits) else { return }
            let iteration = Files.join(section.save, NativeCheckpoint.iterationName(progress.iteration))
            do { try followUp.run(iteration, card, isEnd: waits) } catch { throw FollowUpFailure(error) }
        }
        guard section.asyncSave, !waits else {
            do { try write() } catch {
                if waits, let failure = error as? FollowUpFailure {
                    followUpFailures.append(failure.error(progress.iteration))
                    return hasSaved(checkpoint(progress.iteration))
                }
                guard !waits else { throw lost(error, progress.iteration) }
                return try report(error, progress.iteration)
            }
            return hasSaved(checkpoint(progress.iteration))
        }
        writer = BackgroundTask(write)
        pending = progress.iteration
    }

    private func container(_ progress: RunProgress) -> RunContainer {
        switch section.ckptFormat {
        case .native: .native
        case .torchDist:
            .torchDist(
                MegatronRunState(
                    steps: progress.iteration,
                    consumedSamples: progress.consumedSamples,
                    optimizerSteps: progress.optimizerSteps,
                    recipe: recipe
                )
            )
        }
    }

    private var pending = 0

    /// Waits for the write in progress.
    public func wait() throws {
        guard let writer else { return }
        self.writer = nil
        do { try writer.wait() } catch { return try report(error, pending) }
        hasSaved(checkpoint(pending))
    }

    /// Reports at the end of a run what has failed after its checkpoints, also after those in the middle of the run.
    ///
    /// - Throws: `BridgeError`: the failure, or the number of failures with all of them as names.
    func checkFollowUps() throws {
        guard let last = followUpFailures.last else { return }
        guard followUpFailures.count > 1 else { throw last }
        throw BridgeError(
            last.code,
            "the checkpoints are written, but what follows \(followUpFailures.count) of them failed",
            names: followUpFailures.map(\.message)
        )
    }

    private func checkpoint(_ iteration: Int) -> SavedCheckpoint {
        let name = NativeCheckpoint.iterationName(iteration)
        return SavedCheckpoint(iteration: iteration, path: Files.join(section.save, name))
    }

    /// The error of a run whose last steps are not saved: their number, and the checkpoint to resume from.
    private func lost(_ error: any Error, _ iteration: Int) -> BridgeError {
        let saved = section.save.isEmpty ? nil : try? ResumePoint(in: section.save)
        let loaded = section.load.isEmpty ? nil : try? ResumePoint(loading: section.load, step: section.ckptStep)
        let last = [saved, loaded].lazy.compactMap(\.self).first { $0.path != nil }
        let number = last?.iteration ?? 0
        let steps = iteration - number
        let consequence = "\(steps) step\(steps == 1 ? " is" : "s are") lost"
        let cause = error as? BridgeError
        return BridgeError(
            cause?.code ?? .fileSystem,
            "the checkpoint of step \(iteration) could not be written: \(cause?.message ?? "\(error)"); "
                + (last?.path.map {
                    "the last one is that of step \(number), \($0), from which the same command resumes"
                }
                    ?? "\(section.save) has none before it")
                + ", so \(consequence)",
            names: cause?.names ?? [],
            cause: cause?.cause
        )
    }

    /// Logs the error of a checkpoint that could not be written; without one of the ranks there is no run to continue.
    private func report(_ error: any Error, _ iteration: Int) throws {
        if (error as? BridgeError)?.code == .rankFailed { throw error }
        if let failure = error as? FollowUpFailure {
            hasSaved(checkpoint(iteration))
            followUpFailures.append(failure.error(iteration))
            return logger.error("\(failure.error(iteration).message); training continues")
        }
        let reason = (error as? BridgeError)?.message ?? "\(error)"
        logger.error("the checkpoint of step \(iteration) could not be written: \(reason); training continues")
    }
}

/// The failure of what follows a checkpoint, which is complete.
private struct FollowUpFailure: Error {
    let cause: any Error

    init(_ cause: any Error) { self.cause = cause }

    func error(_ iteration: Int) -> BridgeError {
        let known = cause as? BridgeError
        return BridgeError(
            known?.code ?? .fileSystem,
            "the checkpoint of step \(iteration) is written, but what follows it failed: \(known?.message ?? "\(cause)")",
            names: known?.names ?? [],
            cause: known?.cause
        )
    }
}
