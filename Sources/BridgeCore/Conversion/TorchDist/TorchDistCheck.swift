import BridgeSupport
import CheckpointFormats
import JSONTree
import Synchronization

/// Checks a checkpoint in Megatron-Core's container: that every tensor is complete, and every checksum that is there.
///
/// Bridge's own files have those of its manifest, the archives of other programs a CRC-32 for each of their members. What
/// has neither is parsed.
struct TorchDistCheck {
    private let path: String

    init(_ path: String) { self.path = path }

    /// The files that hold checksums of others.
    private static let carriers: Set<String> = [
        TorchDistDirectory.manifestName, FileChecksums.fileName, TorchDistDirectory.integrityName,
    ]

    /// The files beside those of the items that Megatron-Core and Megatron Bridge write.
    private static let ownNames: Set<String> = [
        TorchDistDirectory.commonName, TorchDistDirectory.trainStateName, TorchDistDirectory.latestTrainStateName,
        CheckpointRun.groupsName, "metadata.json", "run_config.yaml",
    ]

    /// Reads the files.
    ///
    /// - Parameter context: Threads, progress and cancellation.
    /// - Returns: What is damaged, and which files have no checksum.
    /// - Throws: `BridgeError` when the checkpoint cannot be opened, or the run was cancelled.
    func run(_ context: RunContext) throws -> NativeCheckpoint.CheckResult {
        var names = Set(try Files.list(path).filter { Files.kind(of: Files.join(path, $0)) == .file })
        names.subtract(Self.carriers)
        var problems = NativeCheckpoint.FileProblems()
        let checksums = try FileChecksums.read(in: path)
        let listed = checksums?.files ?? []
        problems.add(try NativeCheckpoint.corruptFiles(of: listed, path, context).map { ($0.file, $0.problem) })
        var compared = Set(listed.map(\.name))
        names.formUnion(compared)
        func result() -> NativeCheckpoint.CheckResult {
            .init(path: path, names: names, compared: compared, problems: problems)
        }
        let directory: TorchDistDirectory
        do { directory = try TorchDistDirectory(path: path) } catch let error as BridgeError {
            // What is damaged is known by its checksum.
            guard !problems.files.isEmpty, error.code != .cancelled else { throw error }
            return result()
        }
        let structure = directory.structure()
        var found = structure.problems
        var checked = structure.checked
        if checksums == nil {
            found += try directory.problems(comparedWith: nil)
            compared.formUnion(Set(directory.metadata.files).subtracting(structure.unchecked))
        } else {
            checked = []
        }
        for name in names.subtracting(listed.map(\.name)).sorted() {
            do {
                guard let members = try parse(name, in: directory) else { continue }
                checked += members.checked
                if members.isComplete { compared.insert(name) }
            } catch let error as BridgeError { found.append(.init(name, error.message)) }
        }
        problems.add(found.map { ($0.file, $0.text) })
        problems.add(try compare(checked, in: directory, context))
        let integrity = IntegrityFile(path, context)
        problems.add(try integrity.problems().map { ($0.file, $0.problem) })
        compared.formUnion(try integrity.names())
        names.formUnion(compared)
        return result()
    }

    /// Parses a file beside those of the items.
    ///
    /// - Returns: The bytes that have a checksum, and whether all have; nil for a file without any.
    /// - Throws: `BridgeError` for a damaged file.
    private func parse(_ name: String, in directory: TorchDistDirectory) throws
        -> (checked: [TorchDistDirectory.Checked], isComplete: Bool)?
    {
        let file = Files.join(path, name)
        // A file that the user put there is no part of the checkpoint.
        guard Self.ownNames.contains(name) else { return nil }
        switch name.split(separator: ".").last {
        case "pt": return try directory.besideItems(name)
        case "json": _ = try JSON(contentsOf: file)
        case "yaml": _ = try RunConfiguration.section("model", of: file)
        default: break
        }
        return nil
    }

    /// Compares bytes with the checksums of their archives.
    private func compare(
        _ checked: [TorchDistDirectory.Checked],
        in directory: TorchDistDirectory,
        _ context: RunContext
    ) throws -> [(file: String, text: String)] {
        let total = checked.reduce(0) { $0 + $1.range.count }
        let done = Atomic(0)
        let wrong = Mutex<[(file: String, start: Int, text: String)]>([])
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
                    wrong.withLock { $0.append((bytes.file, bytes.range.lowerBound, problem)) }
                }
                done.wrappingAdd(bytes.range.count, ordering: .relaxed)
            }
        )
        return wrong.withLock { $0 }.sorted { ($0.file, $0.start) < ($1.file, $1.start) }.map { ($0.file, $0.text) }
    }
}

/// A worker's buffers.
private struct CheckBuffers: ~Copyable {
    var bytes = AlignedBuffer(byteCount: 1 << 20)
    var pages = AlignedBuffer(byteCount: 0)
}
