import BridgeCore
import Glibc

/// Writes the scalars of a run into an event file that TensorBoard reads.
///
/// The file: length, masked CRC-32C, bytes and masked CRC-32C of each record, as in TensorFlow's `record_writer.cc`; the bytes
/// are an `Event` of `event.proto`. The tags are Megatron's.
public final class TensorBoardWriter: TrainerCallback {
    /// The prefix of the names of event files.
    static let fileNamePrefix = "events.out.tfevents"

    private let directory: String
    private var file: LogFile?

    /// A writer.
    ///
    /// - Parameter directory: The directory of the event file; created if it does not exist.
    public init(directory: String) { self.directory = directory }

    /// Opens a new event file; in a resumed run, TensorBoard ignores later steps of older files.
    ///
    /// - Throws: `BridgeError` when it cannot be written.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
        try Files.createDirectory(directory)
        // Files of one directory are read in the order of their names: of two of the same second that of the later steps is the
        // second one, whatever the process ids.
        let name = Self.fileNamePrefix + CFormat.text(".%010ld.bridge.%010ld.%d", time(nil), iteration, getpid())
        let file = try LogFile(path: directory + "/" + name)
        self.file = file
        try file.append(EventRecord.framed(EventRecord.version(at: Self.now())))
        if iteration > 0 {
            try file.append(EventRecord.framed(EventRecord.restart(at: Self.now(), step: iteration + 1)))
        }
    }

    /// Writes a step.
    public func onStepEnd(_ step: StepRecord) throws {
        try append(step.scalars, step: step.iteration)
    }

    /// Writes a validation.
    public func onEvaluate(_ validation: ValidationRecord) throws {
        try append(validation.scalars, step: validation.iteration)
    }

    /// Closes the file.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws { file = nil }

    private func append(_ scalars: [(tag: String, value: Double)], step: Int) throws {
        try file?.append(EventRecord.framed(EventRecord.scalars(scalars, step: step, at: Self.now())))
    }

    private static func now() -> Double {
        var moment = timespec()
        clock_gettime(CLOCK_REALTIME, &moment)
        return Double(moment.tv_sec) + Double(moment.tv_nsec) / 1e9
    }
}
