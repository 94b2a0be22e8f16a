import BridgeSupport
import CheckpointFormats
import JSONTree
import Network
import Synchronization

/// `integrity.json` of Megatron-Core since 0.17: the SHA-256 of every file of a checkpoint.
///
/// Source: `save_integrity_manifest` in megatron/core/dist_checkpointing/validation.py, megatron-core 0.19.2.
struct IntegrityFile {
    private static let algorithm = "sha256"
    private static let largest = 16 << 20

    private let directory: String
    private let context: RunContext

    /// The file of a checkpoint.
    ///
    /// - Parameters:
    ///   - directory: The directory of the iteration.
    ///   - context: Threads, progress and cancellation.
    init(_ directory: String, _ context: RunContext) {
        self.directory = directory
        self.context = context
    }

    /// The content for the files that are there, those of directories below not included.
    ///
    /// - Throws: `BridgeError` for a file that cannot be read.
    func content() throws -> [UInt8] {
        let names = try Files.list(directory).sorted().filter {
            $0 != TorchDistDirectory.integrityName && Files.kind(of: Files.join(directory, $0)) == .file
        }
        let digests = try digests(names, activity: "Hashing")
        let files = JSONObject(zip(names, digests).map { ($0, .string($1 ?? "")) })
        let json: JSON = ["algorithm": .string(Self.algorithm), "files": .object(files)]
        return json.text()
    }

    /// The names of the files that have a checksum; empty where the checkpoint has no such file.
    ///
    /// - Throws: `BridgeError` for a file that is not JSON.
    func names() throws -> [String] {
        let path = Files.join(directory, TorchDistDirectory.integrityName)
        guard Files.exists(path) else { return [] }
        let json = try JSON(contentsOf: path, limit: Self.largest)
        guard (json["algorithm"]?.string ?? Self.algorithm) == Self.algorithm else { return [] }
        return (json["files"]?.object?.map(\.key) ?? []).filter {
            Files.isPlainName($0) && $0 != TorchDistDirectory.manifestName
        }
    }

    /// The files that differ from their checksums.
    ///
    /// - Returns: Their names, each with a sentence; empty where the checkpoint has no such file.
    /// - Throws: `BridgeError` for a file that is not as Megatron-Core writes it.
    func problems() throws -> [NativeCheckpoint.CorruptFile] {
        let name = TorchDistDirectory.integrityName
        let path = Files.join(directory, name)
        guard Files.exists(path) else { return [] }
        let json = try JSON(contentsOf: path, limit: Self.largest)
        guard let files = json["files"]?.object else {
            throw BridgeError(.corruptInput, "\(path) has no object files, expected the checksums of megatron-core")
        }
        let found = json["algorithm"]?.string ?? Self.algorithm
        guard found == Self.algorithm else {
            return [.init(file: name, problem: "has checksums of the kind \(found), expected \(Self.algorithm)")]
        }
        let names = files.map(\.key)
        if let outside = names.first(where: { !Files.isPlainName($0) }) {
            return [.init(file: name, problem: "lists \(outside), which is not in the directory of the checkpoint")]
        }
        let digests = try digests(names, activity: "Checking")
        return zip(files, digests).compactMap { line, digest in
            guard let digest else {
                return .init(file: line.key, problem: "is listed in \(name) and cannot be read; restore it from a copy")
            }
            guard line.value.string?.lowercased() != digest else { return nil }
            return .init(
                file: line.key,
                problem: "does not have the SHA-256 that \(name) has for it; restore it from a copy"
            )
        }
    }

    /// The digests of files; nil for one that cannot be read.
    private func digests(_ names: [String], activity: String) throws -> [String?] {
        let total = names.reduce(0) { $0 + max(0, Files.size(of: Files.join(directory, $1))) }
        let done = Atomic(0)
        let digests = Mutex([String?](repeating: nil, count: names.count))
        try Workers.run(
            items: names.count,
            workers: CheckpointWriter.workerCount(context),
            makeState: { HashBuffers() },
            whileWaiting: {
                context.progress?(
                    Progress(activity: activity, doneBytes: done.load(ordering: .relaxed), totalBytes: total)
                )
            },
            body: { state, index in
                let hash = try StreamingHash(.sha256)
                guard let storage = try? FileStorage(path: Files.join(directory, names[index])) else { return }
                for start in stride(from: 0, to: storage.byteCount, by: state.bytes.byteCount) {
                    try context.cancellation.check()
                    let count = min(state.bytes.byteCount, storage.byteCount - start)
                    let piece = UnsafeMutableRawBufferPointer(start: state.bytes.bytes, count: count)
                    try storage.readUncached(at: start, into: piece, through: &state.pages)
                    hash.update(UnsafeRawBufferPointer(piece))
                    done.wrappingAdd(count, ordering: .relaxed)
                }
                let digest = hash.hexadecimal()
                digests.withLock { $0[index] = digest }
            }
        )
        return digests.withLock { $0 }
    }
}

/// A worker's buffers.
private struct HashBuffers: ~Copyable {
    var bytes = AlignedBuffer(byteCount: 4 << 20)
    var pages = AlignedBuffer(byteCount: 0)
}
