import BridgeCore
import Glibc
import JSONTree

/// A run of another process, read from its log while it is written.
///
/// Nothing is written, and no lock is taken.
public final class RunMonitor {
    /// What the run does.
    public enum State: String, Sendable {
        /// A process writes the log.
        case running
        /// All steps are done.
        case finished
        /// The run has ended before its last step.
        case stopped
    }

    /// The log.
    public let path: String
    /// The steps so far.
    public private(set) var steps: [StepRecord] = []
    /// The validations so far.
    public private(set) var validations: [ValidationRecord] = []
    private var identity: String?
    private var offset = 0
    /// The number of steps of a run whose log does not have it.
    private var total = 0

    /// A steady run writes a step at least this often, in seconds, or three times as long as its last steps took.
    private static let longestSilence = 60.0
    /// The number of steps whose mean is the rate.
    private static let window = 20
    /// The longest log, in bytes.
    private static let mostBytes = 1 << 31

    /// Opens the log of a run.
    ///
    /// - Parameter path: The directory of its checkpoints, the one of its logs, or its log.
    /// - Throws: `BridgeError` for a path without a log, and for a log of something else.
    public init(_ path: String) throws {
        self.path = try JSONLinesLog.location(of: path)
        let directory = Files.kind(of: path) == .directory ? path : Files.parent(of: self.path)
        total = Self.stepCount(of: directory) ?? Self.stepCount(of: "\(directory)/checkpoints") ?? 0
        try refresh()
    }

    /// The number of steps in the settings of the newest checkpoint.
    private static func stepCount(of directory: String) -> Int? {
        guard let newest = (try? ResumePoint(in: directory))?.path else { return nil }
        guard let file = AutoBridge.runConfigurationPath(in: newest),
            let bytes = try? Files.contents(of: file, limit: 16 << 20)
        else { return nil }
        return try? Recipe(yaml: String(decoding: bytes, as: UTF8.self), name: file).train.trainIters
    }

    /// Reads what was written since the last call; an incomplete line is read by a later one.
    ///
    /// - Throws: `BridgeError` for a log that cannot be read, or that is not the log of a run.
    public func refresh() throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BridgeError(.fileSystem, "\(path) is not a file; expected the log.jsonl of a run of 'bridge train'")
        }
        let identity = "\(status.st_dev):\(status.st_ino)"
        // A resumed run removes the lines of steps that it repeats.
        if identity != self.identity || status.st_size < offset { (offset, steps, validations) = (0, [], []) }
        self.identity = identity
        guard status.st_size <= Self.mostBytes else {
            throw BridgeError(.corruptInput, "\(path) has \(status.st_size) bytes, expected the log of a run")
        }
        var bytes = [UInt8](repeating: 0, count: status.st_size - offset)
        let count = pread(descriptor, &bytes, bytes.count, offset)
        guard count >= 0 else { throw BridgeError.system("cannot read \(path)") }
        bytes.removeLast(bytes.count - count)
        var start = 0
        while let end = bytes[start...].firstIndex(of: 10) {
            guard let row = try? JSON(parsing: Array(bytes[start..<end])), let iteration = row["iteration"]?.integer,
                (0...1 << 53).contains(iteration), row["lm_loss"] ?? row["validation_lm_loss"] != nil
            else {
                guard offset == 0 else {
                    // Lines were removed and others written since the last call.
                    self.identity = nil
                    return try refresh()
                }
                throw BridgeError(
                    .corruptInput,
                    "\(path) has a line that is not a step: \(Self.shortened(bytes[start..<end])); expected the log.jsonl of a run of "
                        + "'bridge train'"
                )
            }
            start = end + 1
            add(JSONLinesLog.Row(row, total: total))
        }
        offset += start
    }

    private static func shortened(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes.prefix(60), as: UTF8.self)
        return bytes.count > 60 ? "'\(text)...'" : "'\(text)'"
    }

    /// Adds a line; a resumed run repeats steps in a log of the same size.
    private func add(_ row: JSONLinesLog.Row) {
        switch row {
        case .step(let step):
            while let last = steps.last, last.iteration >= step.iteration { steps.removeLast() }
            while let last = validations.last, last.iteration >= step.iteration { validations.removeLast() }
            steps.append(step)
        case .validation(let validation): validations.append(validation)
        }
    }

    /// The number of steps of the run; nil where neither the log nor a checkpoint has it.
    public var totalIterations: Int? {
        (steps.last?.totalIterations).flatMap { $0 > 0 ? $0 : nil } ?? (total > 0 ? total : nil)
    }

    /// What the run does.
    public var state: State {
        if isLocked { return .running }
        if let last = steps.last, let total = totalIterations, last.iteration >= total { return .finished }
        // The process may be on another machine.
        return isRecent ? .running : .stopped
    }

    /// Whether a process of this machine has the log open: it holds its lock, see ``LogFile``.
    private var isLocked: Bool {
        var status = stat()
        guard stat(path, &status) == 0 else { return false }
        // 1: FLOCK  ADVISORY  WRITE 1234 08:01:56789 0 EOF
        return KernelFile.text("/proc/locks").split(separator: "\n").contains { line in
            let words = line.split(separator: " ")
            return words.contains("FLOCK") && words.contains { $0.hasSuffix(":\(status.st_ino)") }
        }
    }

    private var isRecent: Bool {
        var (status, now) = (stat(), timespec())
        guard stat(path, &status) == 0, clock_gettime(CLOCK_REALTIME, &now) == 0 else { return false }
        let age = Double(now.tv_sec - status.st_mtim.tv_sec)
        return isOnNetwork(status) && age < max(Self.longestSilence, 3 * (meanSeconds ?? 0))
    }

    /// Whether locks of other machines are possible: the file is on a file system of a network.
    private func isOnNetwork(_ status: stat) -> Bool {
        let device = "\(status.st_dev >> 8 & 0xFFF):\(status.st_dev & 0xFF | status.st_dev >> 12 & 0xFFF00)"
        return MountTable.entries.contains { entry in
            entry.device == device
                && ["nfs", "cifs", "smb", "lustre", "ceph", "fuse", "gpfs", "beegfs", "9p"].contains {
                    entry.type.hasPrefix($0)
                }
        }
    }

    private var recent: ArraySlice<StepRecord> { steps.suffix(Self.window) }

    /// The mean duration of the last steps, in seconds; nil without any.
    public var meanSeconds: Double? {
        let times = recent.map(\.seconds).filter(\.isFinite)
        return times.isEmpty ? nil : times.reduce(0, +) / Double(times.count)
    }

    /// The tokens per second of the last steps; nil without any.
    public var tokensPerSecond: Double? {
        let steps = recent.filter { $0.seconds.isFinite && $0.seconds > 0 }
        let seconds = steps.reduce(0) { $0 + $1.seconds }
        return seconds > 0 ? steps.reduce(0) { $0 + Double($1.tokens) } / seconds : nil
    }

    /// The seconds that the rest of the run takes at this rate; nil where that is not known.
    public var secondsLeft: Double? {
        guard let last = steps.last, let total = totalIterations, let meanSeconds else { return nil }
        return meanSeconds * Double(max(0, total - last.iteration))
    }
}
