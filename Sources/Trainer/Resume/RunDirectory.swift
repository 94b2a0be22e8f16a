public import BridgeCore
import Communication
import Synchronization
public import TensorRuntime

/// The directory of a run's checkpoints, locked against other runs, with the checkpoint that the run resumes from.
///
/// The newest checkpoint is looked up once, under the lock, so that what is checked is what is resumed.
public final class RunDirectory: Sendable {
    /// The newest iteration of `checkpoint.save`, or else of `checkpoint.load`; nil when there is none.
    ///
    /// The newest one is that of the file `latest_checkpointed_iteration.txt`.
    public let newest: String?
    /// What is unexpected about the iterations, one sentence each; on the first rank only.
    public let warnings: [String]
    /// Nil where nothing is saved, and after the end of the run.
    private let lock: Mutex<FileLock?>
    /// The directories that were created for the lock; a run that saves nothing leaves none.
    private let madeParents: [String]

    /// Locks the directory and looks up the newest checkpoint.
    ///
    /// - Parameters:
    ///   - section: The settings of the checkpoints.
    ///   - isLocked: Whether the run writes; one that is only described takes no lock.
    ///   - ranks: All ranks of the run, of which the first takes the lock.
    /// - Throws: `BridgeError` when another run has the lock, the directory is not writable, or `checkpoint.load` has no
    ///   checkpoint.
    public init(
        _ section: Recipe.CheckpointSection,
        isLocked: Bool = true,
        ranks: any ProcessGroup = SingleRank()
    ) throws {
        let writes = isLocked && !section.save.isEmpty && ranks.rank == 0
        var own: FileLock?
        var parents: [String] = []
        var warnings: [String] = []
        let found = try ranks.agree {
            guard ranks.rank == 0 else { return [] }
            if writes {
                parents = Files.missingDirectories(Files.parent(of: Destination.resolved(section.save)))
                own = try Self.lock(section.save)
            }
            return Array((try Self.newest(section, &warnings) ?? "").utf8)
        }
        self.warnings = warnings
        madeParents = parents
        lock = Mutex(own)
        newest = found[0].isEmpty ? nil : String(decoding: found[0], as: UTF8.self)
    }

    /// Ends the lock.
    func release() {
        lock.withLock { $0 = nil }
        Files.removeEmpty(madeParents)
    }

    deinit { release() }

    private static func lock(_ path: String) throws -> FileLock {
        let directory = Destination.resolved(path)
        let name = Files.join(Files.parent(of: directory), ".\(Files.name(of: directory)).running")
        guard let lock = try FileLock.take(name, isTemporary: true) else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing to \(path); wait for it, or set another checkpoint.save"
            )
        }
        return lock
    }

    private static func newest(_ section: Recipe.CheckpointSection, _ warnings: inout [String]) throws -> String? {
        if !section.save.isEmpty, Files.kind(of: section.save) == .directory {
            let point = try ResumePoint(in: section.save)
            if let warning = point.warning { warnings.append(warning) }
            if let found = point.path { return try complete(found, in: section.save, &warnings) }
        }
        guard !section.load.isEmpty else { return nil }
        let point = try ResumePoint(loading: section.load, step: section.ckptStep)
        guard let found = point.path else {
            throw BridgeError(
                .badArgument,
                "checkpoint.load is \(section.load), which has no checkpoint"
                    + (point.warning.map { " to resume from: \($0)" } ?? "")
            )
        }
        if let warning = point.warning { warnings.append(warning) }
        // An iteration that the user names is the one that is meant.
        let isNamed = section.ckptStep != nil || NativeCheckpoint.isIteration(section.load)
        return isNamed ? found : try complete(found, in: section.load, &warnings)
    }

    /// An iteration, or the newest one before it with all its files.
    ///
    /// - Throws: `BridgeError` where none is complete: the run would start from scratch in their directory.
    private static func complete(_ path: String, in directory: String, _ warnings: inout [String]) throws -> String {
        func lacks(_ path: String, _ missing: [String]) -> String {
            let more = missing.count > 3 ? " and \(missing.count - 3) more" : ""
            return "\(path) lacks \(missing.prefix(3).joined(separator: ", "))\(more)"
        }
        let missing = NativeCheckpoint.missingFiles(of: path)
        guard !missing.isEmpty else { return path }
        let earlier = NativeCheckpoint.iterations(in: directory, before: path)
        guard let found = earlier.last(where: { NativeCheckpoint.missingFiles(of: $0).isEmpty }) else {
            throw BridgeError(
                .corruptInput,
                "\(lacks(path, missing)), and no iteration before it is complete; restore the \(missing.count == 1 ? "file" : "files"), or "
                    + "start a new run with another checkpoint.save"
            )
        }
        warnings.append(
            "\(lacks(path, missing)), so it is not complete; the newest complete iteration before it is \(found)"
        )
        return found
    }
}
