public import BridgeSupport
public import CheckpointFormats
import Glibc
import JSONTree
import Synchronization
import TensorRuntime

extension NativeCheckpoint {
    /// The plan of a conversion to another layout.
    ///
    /// - Throws: `BridgeError` for a layout that does not fit.
    public func reshardPlan(_ options: ConversionOptions) throws -> ConversionPlan {
        try Resharder(checkpoint: self, options: options).plan()
    }

    /// Checks that ``reshard(to:options:)`` can write its checkpoint, as far as that is known in advance.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`.
    public func checkReshard(to path: String, overwrite: Bool) throws {
        try destination(path, overwrite: overwrite).check()
    }

    private func destination(_ path: String, overwrite: Bool) -> NativeDestination {
        let iteration = Self.iteration(inName: Files.name(of: self.path)) ?? 0
        return NativeDestination(path: path, iteration: iteration, overwrite: overwrite)
    }

    /// Writes the parameters in another layout, as the same iteration of another directory.
    ///
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func reshard(to path: String, options: ConversionOptions) throws -> ConversionReport {
        try reshard(reshardPlan(options), to: path, options: options)
    }

    /// Writes a plan of ``reshardPlan(_:)``.
    ///
    /// - Throws: `BridgeError`; the destination is then as it was.
    @discardableResult
    public func reshard(_ plan: ConversionPlan, to path: String, options: ConversionOptions) throws -> ConversionReport
    {
        try Destination.check(path, against: [self.path])
        return try destination(path, overwrite: options.overwrite).write(plan, context: options.context)
    }

    /// Whether iterations can be written to a directory: it does not exist, or holds iterations.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken` when it holds other files.
    public static func checkDestination(_ path: String) throws { _ = try NativeDestination.isFree(Files.trimmed(path)) }

    /// A file whose content differs from the manifest.
    public struct CorruptFile: Sendable, Equatable {
        /// The file.
        public var file: String
        /// The problem of the file.
        public var problem: String
    }

    /// The result of a check.
    public struct CheckResult: Sendable, Equatable {
        /// The directory of the iteration.
        public var path: String
        /// The number of files of the checkpoint, those that are missing included.
        public var fileCount: Int
        /// The damaged files, each once; empty where no damage was found.
        public var corruptFiles: [CorruptFile]
        /// The files that have no checksum, or not for all their bytes, sorted: a change of their content is not found.
        public var uncheckedFiles: [String]
        /// The number of files that were compared with a checksum.
        public var comparedCount: Int { fileCount - uncheckedFiles.count }

        init(path: String, names: Set<String>, compared: Set<String>, problems: FileProblems) {
            self.path = path
            let all = names.union(problems.files)
            fileCount = all.count
            corruptFiles = problems.corruptFiles
            uncheckedFiles = all.subtracting(compared).subtracting(problems.files).sorted()
        }
    }

    /// What was found about files, together for each.
    struct FileProblems {
        /// The files, in the order in which they were found.
        private(set) var files: [String] = []
        private var texts: [String: [String]] = [:]

        /// Adds a problem of a file, once.
        mutating func add(_ file: String, _ text: String) {
            if texts[file] == nil { files.append(file) }
            if texts[file]?.contains(text) != true { texts[file, default: []].append(text) }
        }

        /// Adds what is known of files; what follows from damage that was found before is not repeated.
        mutating func add(_ found: [(file: String, text: String)]) {
            let known = Set(files)
            for (file, text) in found where !known.contains(file) { add(file, text) }
        }

        /// The files with the first problem of each.
        var corruptFiles: [CorruptFile] {
            files.map { file in
                let texts = texts[file] ?? []
                let more = texts.count > 1 ? "; and \(ByteFormat.counted(texts.count - 1, "more problem"))" : ""
                return CorruptFile(file: file, problem: (texts.first ?? "") + more)
            }
        }
    }

    /// Reads every file of a checkpoint and compares it with its checksum.
    ///
    /// Needs the manifest alone, so that every damaged file is found and not only the first.
    /// Of a checkpoint in Megatron-Core's container, what has no checksum is parsed.
    ///
    /// - Parameters:
    ///   - path: The checkpoint, or a directory of iterations, whose newest is used.
    ///   - context: Threads, progress and cancellation.
    /// - Returns: What is damaged.
    /// - Throws: `BridgeError` when there is no checkpoint, or the run was cancelled.
    public static func check(_ path: String, context: RunContext = RunContext()) throws -> CheckResult {
        let path = try iterationPath(path)
        guard Files.exists(Files.join(path, manifestName)) else { return try TorchDistCheck(path).run(context) }
        let manifest = try Self.manifest(of: path)
        var problems = FileProblems()
        problems.add(try corruptFiles(of: manifest.files, path, context).map { ($0.file, $0.problem) })
        let listed = Set(manifest.files.map(\.name))
        let names = try Files.list(path).filter { $0 != manifestName && Files.kind(of: Files.join(path, $0)) == .file }
        return CheckResult(path: path, names: listed.union(names), compared: listed, problems: problems)
    }

    static func corruptFiles(of files: [NativeManifest.File], _ path: String, _ context: RunContext) throws
        -> [CorruptFile]
    {
        let total = files.reduce(0) { $0 + $1.byteCount }
        var corruptFiles: [CorruptFile] = []
        var before = 0
        for file in files {
            do {
                if let problem = try check(file, in: path, context, before: before, total: total) {
                    corruptFiles.append(CorruptFile(file: file.name, problem: problem))
                }
            } catch let error as BridgeError where error.code != .cancelled {
                corruptFiles.append(CorruptFile(file: file.name, problem: error.message))
            }
            before += file.byteCount
        }
        return corruptFiles
    }

    private static func check(
        _ file: NativeManifest.File,
        in path: String,
        _ context: RunContext,
        before: Int,
        total: Int
    ) throws -> String? {
        let storage = try FileStorage(path: Files.join(path, file.name))
        guard storage.byteCount == file.byteCount else {
            return "has \(storage.byteCount) bytes, expected \(file.byteCount) as in the manifest"
        }
        let size = BlockChecksum.blockByteCount
        let count = (file.byteCount + size - 1) / size
        let digests = Mutex([Int: BlockChecksum.Digest](minimumCapacity: count))
        try Workers.run(
            items: count,
            workers: CheckpointWriter.workerCount(context),
            makeState: { CheckState(size) },
            whileWaiting: {
                context.progress?(
                    Progress(
                        activity: "Checking",
                        doneBytes: before + min(file.byteCount, digests.withLock(\.count) * size),
                        totalBytes: total
                    )
                )
            },
            body: { state, index in
                try context.cancellation.check()
                let bytes = UnsafeMutableRawBufferPointer(
                    start: state.buffer.bytes,
                    count: min(size, file.byteCount - index * size)
                )
                try storage.readUncached(at: index * size, into: bytes, through: &state.pages)
                let digest = BlockChecksum.digest(UnsafeRawBufferPointer(bytes))
                digests.withLock { $0[index] = digest }
            }
        )
        let found = digests.withLock { digests in (0..<count).compactMap { digests[$0] } }
        if BlockChecksum.root(found).description == file.checksum { return nil }
        // The manifest has no checksums of blocks for a file with one block.
        let wrong = count == 1 ? 0 : zip(found, file.blocks).enumerated().first { $1.0.description != $1.1 }?.offset
        return "its content has changed"
            + (wrong.map { " in bytes \($0 * size) to \(min(file.byteCount, ($0 + 1) * size) - 1)" } ?? "")
            + "; restore it from a copy"
    }

    /// The iterations in a directory, oldest first.
    ///
    /// - Throws: `BridgeError` when the path leads to something else.
    public static func iterationsExpected(in path: String) throws -> [(iteration: Int, path: String)] {
        let found = Files.kind(of: path) == .directory ? try iterations(in: path) : []
        guard !found.isEmpty else {
            throw FoundPath.error(path, expected: "a directory with iterations of a Megatron checkpoint (iter_0000000)")
        }
        return found
    }

    /// The checkpoints in a directory: its iterations, oldest first, and weights alone in `release`, as Megatron-LM's converters
    /// write them.
    ///
    /// - Returns: The checkpoints; that of `release` has no iteration.
    /// - Throws: `BridgeError` when the path leads to something else.
    public static func checkpointsExpected(in path: String) throws -> [(iteration: Int?, path: String)] {
        let release = Files.join(Files.trimmed(path), releaseName)
        let weights: [(iteration: Int?, path: String)] = isIteration(release) ? [(nil, release)] : []
        let found = weights.isEmpty ? try iterationsExpected(in: path) : try iterations(in: path)
        return weights + found.map { ($0.iteration, $0.path) }
    }

    /// Removes all iterations but the newest ones.
    ///
    /// - Parameters:
    ///   - path: A directory with iterations.
    ///   - count: How many stay, at least 1, up to the one that the directory names as its newest; that one and those after it,
    ///     which a run has left to resume from an earlier one, stay in any case.
    ///   - best: The number of an iteration that stays besides; nil for none.
    ///   - dryRun: Whether to remove nothing and only say what would go.
    /// - Returns: The directories that were removed.
    /// - Throws: `BridgeError` when one cannot be removed.
    public static func prune(_ path: String, keeping count: Int, best: Int? = nil, dryRun: Bool = false) throws
        -> [String]
    {
        guard count >= 1 else {
            throw BridgeError(.badArgument, "\(count) iterations would be kept, expected at least 1")
        }
        let newest = (try? iterationPath(path)).flatMap { iteration(inName: Files.name(of: $0)) } ?? .max
        let found = try iterationsExpected(in: path)
        let others = found.filter { $0.iteration <= newest && $0.iteration != best }
        let removed = others.dropLast(count).map(\.path)
        guard !dryRun else { return removed }
        // What a killed run was removing.
        for name in try Files.list(path) where name.hasPrefix(".iter_") && name.hasSuffix(".removed") {
            try Files.remove(Files.join(path, name))
        }
        for directory in removed {
            // Renamed first, so that a kill half way leaves nothing that looks like a checkpoint.
            let doomed = Files.join(Files.parent(of: directory), ".\(Files.name(of: directory)).removed")
            guard rename(directory, doomed) == 0 else { throw BridgeError.system("cannot remove \(directory)") }
            try Files.remove(doomed)
        }
        return removed
    }
}

/// A worker's buffers.
private struct CheckState: ~Copyable {
    var buffer: AlignedBuffer
    var pages = AlignedBuffer(byteCount: 0)

    init(_ byteCount: Int) { buffer = AlignedBuffer(byteCount: byteCount) }
}
