public import BridgeCore
import Foundation
import JSONTree
public import Logging
import Synchronization

/// The checkpoints of a run: written during training, read when it is resumed.
///
/// The tensors are written without a copy. Parameters change once per step, at its end, so a write has the time of a whole
/// forward and backward pass; ``wait()`` is called before they change.
public final class RunCheckpoints {
    private let bridge: AutoBridge
    private let section: Recipe.CheckpointSection
    /// `run_config.yaml`: everything that reproduces the run.
    private let configuration: [UInt8]
    private let logger: Logger
    private var writer: Writer?

    private final class Writer: Sendable {
        let done = DispatchSemaphore(value: 0)
        let failure = Mutex<(any Error)?>(nil)
    }

    /// Checkpoints in the directory `section.save`.
    public init(
        _ bridge: AutoBridge,
        _ section: Recipe.CheckpointSection,
        configuration: [UInt8],
        logger: Logger
    ) {
        self.bridge = bridge
        self.section = section
        self.configuration = configuration
        self.logger = logger
    }

    /// The newest iteration of `checkpoint.save`, or else of `checkpoint.load`; nil when there is none.
    ///
    /// - Throws: `BridgeError` when `checkpoint.load` has no checkpoint.
    public func newest() throws -> String? { try Self.newest(section) }

    static func newest(_ section: Recipe.CheckpointSection) throws -> String? {
        if !section.save.isEmpty, let found = try? NativeCheckpoint.iterations(in: section.save).last?.path {
            return found
        }
        guard !section.load.isEmpty else { return nil }
        guard let found = try NativeCheckpoint.iterations(in: section.load).last?.path else {
            throw BridgeError(.badArgument, "checkpoint.load is \(section.load), which has no checkpoint")
        }
        return found
    }

    /// Checks before a run whether its checkpoints can be written to a directory.
    ///
    /// - Throws: `BridgeError` when the path is not a directory, or is not writable.
    static func checkDirectory(_ path: String) throws {
        guard !path.isEmpty else { return }
        try NativeCheckpoint.checkDestination(path)
        try Destination.check(path, against: [])
        var location = URL(filePath: path).standardized
        while !FileManager.default.fileExists(atPath: location.path), location.path != "/" {
            location.deleteLastPathComponent()
        }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: location.path, isDirectory: &isDirectory), isDirectory.boolValue
        else {
            throw BridgeError(
                .fileSystem,
                "checkpoint.save is \(path), and \(location.path) is not a directory; set another one"
            )
        }
        guard FileManager.default.isWritableFile(atPath: location.path) else {
            throw BridgeError(
                .fileSystem,
                "checkpoint.save is \(path), and \(location.path) is not writable; set another directory"
            )
        }
    }

    /// Locks the directory against other runs for the lifetime of the result; nil if nothing is saved.
    ///
    /// - Throws: `BridgeError` when another run has the lock, or the directory is not writable.
    public func lock() throws -> FileLock? {
        guard !section.save.isEmpty else { return nil }
        let directory = URL(filePath: section.save).standardized
        let parent = directory.deletingLastPathComponent().path
        guard
            let lock = try FileLock.take("\(parent)/.\(directory.lastPathComponent).running", isTemporary: true)
        else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing to \(section.save); wait for it, or set another checkpoint.save"
            )
        }
        return lock
    }

    /// Loads the tensors of a run from an iteration.
    ///
    /// - Returns: The progress of the run.
    /// - Throws: `BridgeError` when the iteration is damaged or does not fit the run.
    public func restore(_ state: TrainingState, from path: String) throws -> RunProgress {
        let name = path + "/" + RunProgress.fileName
        guard let data = FileManager.default.contents(atPath: name) else {
            throw BridgeError(
                .badArgument,
                "\(path) has no \(RunProgress.fileName): it was converted, not trained; "
                    + "give it as checkpoint.pretrained_checkpoint"
            )
        }
        let progress = try RunProgress(json: Self.json(data, name), name: name)
        if let damage = try NativeCheckpoint.check(path).corruptFiles.first {
            throw BridgeError(
                .corruptInput,
                "\(path)/\(damage.file) \(damage.problem); remove that iteration to resume from the one before"
            )
        }
        try bridge.restore(state, from: path)
        return progress
    }

    private static func json(_ data: Data, _ name: String) throws -> JSON {
        do throws(JSONError) { return try JSON(parsing: Array(data)) } catch {
            throw BridgeError(
                .corruptInput,
                "\(name) is not valid JSON: \(error); remove that iteration to resume from the one before"
            )
        }
    }

    /// Writes a checkpoint, in the background with `checkpoint.async_save`.
    ///
    /// A failure during training, such as a full disk, is logged and leaves the existing checkpoints; training
    /// continues.
    ///
    /// - Parameters:
    ///   - state: The tensors, which must not change before ``wait()`` returns.
    ///   - progress: The progress of the run.
    ///   - waits: Whether to wait for the write, and to throw its error.
    /// - Throws: `BridgeError` when it waits and the checkpoint cannot be written.
    public func save(_ state: TrainingState, _ progress: RunProgress, waits: Bool) throws {
        guard !section.save.isEmpty else { return }
        try wait()
        let (bridge, section) = (bridge, section)
        let files = [
            ("run_config.yaml", configuration), (RunProgress.fileName, progress.json.text()),
        ]
        @Sendable func write() throws {
            try bridge.save(state, to: section.save, iteration: progress.iteration, files: files)
            guard section.mostRecentK > 0 else { return }
            _ = try NativeCheckpoint.prune(section.save, keeping: section.mostRecentK)
        }
        guard section.asyncSave, !waits else {
            do { try write() } catch {
                guard !waits else { throw lost(error, progress.iteration) }
                report(error, progress.iteration)
            }
            return
        }
        let writer = Writer()
        self.writer = writer
        Thread.detachNewThread {
            do { try write() } catch { writer.failure.withLock { $0 = error } }
            writer.done.signal()
        }
        pending = progress.iteration
    }

    private var pending = 0

    /// Waits for the write in progress.
    public func wait() throws {
        guard let writer else { return }
        writer.done.wait()
        self.writer = nil
        if let error = writer.failure.withLock({ $0 }) { report(error, pending) }
    }

    /// The error of a run whose last steps are not saved: their number, and the checkpoint to resume from.
    private func lost(_ error: any Error, _ iteration: Int) -> BridgeError {
        let directories = [section.save, section.load].filter { !$0.isEmpty }
        let last = directories.lazy.compactMap { try? NativeCheckpoint.iterations(in: $0).last }.first
        let steps = iteration - (last?.iteration ?? 0)
        let consequence = "\(steps) step\(steps == 1 ? " is" : "s are") lost"
        let cause = error as? BridgeError
        return BridgeError(
            cause?.code ?? .fileSystem,
            "the checkpoint of step \(iteration) could not be written: \(cause?.message ?? "\(error)"); "
                + (last.map {
                    "the last one is that of step \($0.iteration), \($0.path), from which the same command resumes"
                }
                    ?? "\(section.save) has none before it")
                + ", so \(consequence)",
            names: cause?.names ?? [],
            cause: cause?.cause
        )
    }

    private func report(_ error: any Error, _ iteration: Int) {
        let reason = (error as? BridgeError)?.message ?? "\(error)"
        logger.error("the checkpoint of step \(iteration) could not be written: \(reason); training continues")
    }
}
