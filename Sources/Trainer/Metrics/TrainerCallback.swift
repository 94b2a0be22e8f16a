/// Receives the events of a training run: a log, an event file, a report, or code of the user's.
///
/// The names are those of callbacks in transformers, Lightning and Megatron Bridge; every method has an empty default. All calls are made
/// on the thread of the steps, in their order, and the next step waits for them. In a run with several ranks each rank calls its own
/// callbacks.
///
/// An error of ``onTrainStart(_:after:)`` ends the run before its first step. After an error of another method the run continues without
/// the callback, and logs the error.
public protocol TrainerCallback: AnyObject {
    /// Called once, before the first step.
    ///
    /// - Parameters:
    ///   - run: The metadata of the run.
    ///   - iteration: The number of steps of earlier processes; a log discards its records of later steps.
    /// - Throws: `BridgeError` when nothing can be written.
    func onTrainStart(_ run: RunMetadata, after iteration: Int) throws
    /// Called after every step.
    func onStepEnd(_ step: StepRecord) throws
    /// Called after every validation.
    func onEvaluate(_ validation: ValidationRecord) throws
    /// Called for every checkpoint once it is complete: with `checkpoint.async_save` during a later step.
    func onSave(_ checkpoint: SavedCheckpoint) throws
    /// Called once, after the last step, also when the run was interrupted or has failed.
    ///
    /// - Parameter result: The outcome, or the error that ends the run.
    /// - Throws: `BridgeError` when not everything can be written or sent.
    func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws
}

extension TrainerCallback {
    /// Does nothing.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {}
    /// Does nothing.
    public func onStepEnd(_ step: StepRecord) throws {}
    /// Does nothing.
    public func onEvaluate(_ validation: ValidationRecord) throws {}
    /// Does nothing.
    public func onSave(_ checkpoint: SavedCheckpoint) throws {}
    /// Does nothing.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {}
}

/// A checkpoint of a run that is complete.
public struct SavedCheckpoint: Sendable, Equatable {
    /// The number of steps before it.
    public var iteration: Int
    /// Its directory.
    public var path: String

    /// A checkpoint.
    public init(iteration: Int, path: String) { (self.iteration, self.path) = (iteration, path) }
}
