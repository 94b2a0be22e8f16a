import BridgeSupport
import CheckpointFormats
import JSONTree
import Synchronization

/// Checks a checkpoint in Megatron-Core's container: that every tensor is complete, and every checksum that is there.
///
/// Bridge's own files have those of its manifest, the items that megatron-core wrote the CRC-32 of their archives.
struct TorchDistCheck {
    private let path: String

    init(_ path: String) { self.path = path }

    /// Reads what has a checksum.
    ///
    /// - Parameter context: Threads, progress and cancellation.
    /// - Returns: What is damaged.
    /// - Throws: `BridgeError` when the checkpoint cannot be opened, or the run was cancelled.
    func run(_ context: RunContext) throws -> NativeCheckpoint.CheckResult {
        let directory = try TorchDistDirectory(path: path)
        let names = try Files.list(path).filter { Files.kind(of: Files.join(path, $0)) == .file }
        var (problems, checked) = directory.structure()
        var damaged: [NativeCheckpoint.CorruptFile] = []
        var fileCount = names.count
        let file = Files.join(path, TorchDistDirectory.manifestName)
        if Files.exists(file) {
            let manifest = try NativeManifest(json: JSON(contentsOf: file), name: file)
            damaged = try NativeCheckpoint.corruptFiles(of: manifest, path, context)
            fileCount = manifest.files.count
            checked = []
        } else {
            problems += Self.missing(names, in: directory)
        }
        if !Files.exists(file), names.contains(TorchDistDirectory.commonName) {
            do { _ = try directory.common() } catch let error as BridgeError {
                problems.append((TorchDistDirectory.commonName, error.message))
            }
        }
        damaged += problems.map { .init(file: $0.file, problem: $0.problem) }
        damaged += try compare(checked, in: directory, context)
        let known = Set(damaged.map(\.file))
        damaged += try IntegrityFile(path, context).problems().filter { !known.contains($0.file) }
        return NativeCheckpoint.CheckResult(path: path, fileCount: fileCount, corruptFiles: damaged)
    }

    /// What Megatron-Core writes beside its tensors, where only some of it is there.
    private static func missing(
        _ names: [String],
        in directory: TorchDistDirectory
    ) -> [(file: String, problem: String)] {
        let hasCommon =
            names.contains(TorchDistDirectory.commonName)
            || directory.metadata.entries.contains { $0.key == TorchDistDirectory.commonKey }
        let hasDescription = names.contains(TorchDistDirectory.descriptionName)
        // A distributed checkpoint of PyTorch itself has neither.
        guard hasCommon != hasDescription else { return [] }
        let file = hasCommon ? TorchDistDirectory.descriptionName : TorchDistDirectory.commonName
        return [(file, "is missing, and Megatron-Core does not load the checkpoint without it; restore it from a copy")]
    }

    /// Compares bytes with the checksums of their archives.
    private func compare(
        _ checked: [TorchDistDirectory.Checked],
        in directory: TorchDistDirectory,
        _ context: RunContext
    ) throws -> [NativeCheckpoint.CorruptFile] {
        let total = checked.reduce(0) { $0 + $1.range.count }
        let done = Atomic(0)
        let wrong = Mutex<[NativeCheckpoint.CorruptFile]>([])
        try Workers.run(
            items: checked.count,
            workers: CheckpointWriter.workerCount(context),
            makeState: { CheckBuffers() },
            whileWaiting: {
                context.progress?(
                    Progress(activity: "Checking", doneBytes: done.load(ordering: .relaxed), totalBytes: total)
                )
            },
            body: { state, index in
                try context.cancellation.check()
                let bytes = checked[index]
                if try !directory.isIntact(bytes, through: &state.bytes, &state.pages) {
                    let problem =
                        "its content has changed in bytes \(bytes.range.lowerBound) to \(bytes.range.upperBound - 1) "
                        + "(\(bytes.name)); restore it from a copy"
                    wrong.withLock { $0.append(.init(file: bytes.file, problem: problem)) }
                }
                done.wrappingAdd(bytes.range.count, ordering: .relaxed)
            }
        )
        return wrong.withLock { $0 }.sorted { ($0.file, $0.problem) < ($1.file, $1.problem) }
    }
}

/// A worker's buffers.
private struct CheckBuffers: ~Copyable {
    var bytes = AlignedBuffer(byteCount: 1 << 20)
    var pages = AlignedBuffer(byteCount: 0)
}
