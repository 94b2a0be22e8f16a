public import BridgeCore
import Foundation
import JSONTree
public import Logging
import Synchronization

/// The checkpoints of a run: written while training goes on, read when it is resumed.
///
/// What is written is the live memory. Parameters change once a step, at its end, so a write has the time of a whole
/// forward and backward pass; ``wait()`` comes before they change.
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

    /// The newest iteration of the run, or of the one that it goes on from; nil when there is none.
    ///
    /// - Throws: `BridgeError` when the directory that is to be gone on from has none.
    public func newest() throws -> String? { try Self.newest(section) }

    static func newest(_ section: Recipe.CheckpointSection) throws -> String? {
        if !section.save.isEmpty, let found = try? NativeCheckpoint.iterations(in: section.save).last?.path {
            return found
        }
        guard !section.load.isEmpty else { return nil }
        guard let found = try NativeCheckpoint.iterations(in: section.load).last?.path else {
            throw BridgeError(.badArgument, "checkpoint.load is \(section.load), which has no checkpoint in it")
        }
        return found
    }

    /// Whether a run's checkpoints could be put into a directory, as far as that can be told beforehand.
    ///
    /// - Throws: `BridgeError` when something else stands there, or nothing may be written there.
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
                "checkpoint.save is \(path), and \(location.path) is not a directory; name another one"
            )
        }
        guard FileManager.default.isWritableFile(atPath: location.path) else {
            throw BridgeError(
                .fileSystem,
                "checkpoint.save is \(path), and \(location.path) may not be written to; name another directory"
            )
        }
    }

    /// Keeps other runs away from the directory for as long as the result lives; nil where nothing is saved.
    ///
    /// - Throws: `BridgeError` when another run writes there, or it cannot be written to.
    public func lock() throws -> FileLock? {
        guard !section.save.isEmpty else { return nil }
        let directory = URL(filePath: section.save).standardized
        let parent = directory.deletingLastPathComponent().path
        guard
            let lock = try FileLock.take("\(parent)/.\(directory.lastPathComponent).running", isTemporary: true)
        else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing to \(section.save); wait for it, or name another checkpoint.save"
            )
        }
        return lock
    }

    /// Fills a run's tensors from an iteration.
    ///
    /// - Returns: Where the run was.
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
                "\(path)/\(damage.file) \(damage.problem); remove that iteration to go on from the one before"
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

    /// Writes a checkpoint, in the background where the recipe says so.
    ///
    /// A failure in between, a full disk for instance, is reported and leaves the checkpoints that are there; training
    /// goes on.
    ///
    /// - Parameters:
    ///   - state: The tensors, which may not change before ``wait()`` returns.
    ///   - progress: Where the run is.
    ///   - waits: Whether to return when it is written, and to throw when it could not be.
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

    /// Returns when nothing is being written any more.
    public func wait() throws {
        guard let writer else { return }
        writer.done.wait()
        self.writer = nil
        if let error = writer.failure.withLock({ $0 }) { report(error, pending) }
    }

    /// The error of a run whose last steps are not saved: how many these are, and where the run resumes.
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
        logger.error("the checkpoint of step \(iteration) could not be written: \(reason); training goes on")
    }
}
