package import BridgeSupport
import Synchronization
import TensorFiles

/// Writes planned files into a directory: several threads, a few reused buffers, past the page cache where that is possible.
///
/// Allocating page-cache memory is slow, above all on virtual machines, and a checkpoint is rarely read right after it
/// was written; so the bytes are written to the disk from page-aligned buffers, in blocks of
/// ``BlockChecksum/blockByteCount``, each hashed while it is still in the cache.
package struct CheckpointWriter {
    /// The directory.
    package let directory: String
    /// Threads and so on.
    package let context: RunContext
    /// Whether blocks of the source are kept while they are compared with their checksums.
    package let isVerified: Bool

    /// The written parts of one file.
    package struct Written: Sendable {
        package var name: String
        package var byteCount: Int
        package var blocks: [BlockChecksum.Digest]
    }

    package init(directory: String, context: RunContext, isVerified: Bool = false) {
        self.directory = directory
        self.context = context
        self.isVerified = isVerified
    }

    /// Buffers and scratch of one worker, in bytes.
    ///
    /// - Parameter isVerified: Whether blocks of the source are kept while they are compared with their checksums.
    /// - Returns: The bytes.
    package static func memoryPerWorker(isVerified: Bool = false) -> Int {
        (isVerified ? 3 : 1) * BlockChecksum.blockByteCount + 4 << 20
    }

    /// The number of threads of a context.
    package static func workerCount(_ context: RunContext, isVerified: Bool = false) -> Int {
        let wanted = context.workers ?? Workers.defaultCount
        guard let limit = context.memoryLimit else { return max(1, wanted) }
        return max(1, min(wanted, limit / memoryPerWorker(isVerified: isVerified)))
    }

    /// Writes the files and flushes them.
    ///
    /// - Throws: `BridgeError` when the disk is full, a source cannot be read, or the run was cancelled.
    package func write(_ plannedFiles: [PlannedFile], activity: String) throws -> [Written] {
        let total = plannedFiles.reduce(0) { $0 + $1.byteCount }
        try checkSpace(total)
        var files: [OutputFile] = []
        for planned in plannedFiles {
            try context.cancellation.check()
            try Files.createDirectory(Files.parent(of: Files.join(directory, planned.name)))
            let file = try OutputFile(path: Files.join(directory, planned.name), planned: planned)
            if planned.byteCount >= DirectIOFile.smallestDirect, !file.file.isDirect {
                context.logger.debug(
                    "the file system refuses direct writes, the page cache is used",
                    metadata: ["file": "\(planned.name)"]
                )
            }
            files.append(file)
        }
        let block = BlockChecksum.blockByteCount
        let items = files.indices.flatMap { file in
            stride(from: 0, to: files[file].planned.byteCount, by: block).map { (file, $0) }
        }
        let outputs = files
        let done = Atomic(0)
        let cancellation = context.cancellation
        try Workers.run(
            items: items.count,
            workers: Self.workerCount(context, isVerified: isVerified),
            makeState: {
                // Verified blocks are in memory, and a piece of them is hashed while it is in the core's own cache; a
                // disk is faster with large requests.
                WriterState(pieceByteCount: isVerified ? BlockChecksum.pieceByteCount : block)
            },
            whileWaiting: {
                context.progress?(
                    Progress(activity: activity, doneBytes: done.load(ordering: .relaxed), totalBytes: total)
                )
            },
            body: { state, index in
                try cancellation.check()
                let (file, start) = items[index]
                let count = min(block, outputs[file].planned.byteCount - start)
                try state.write(outputs[file], start..<start + count)
                done.wrappingAdd(count, ordering: .relaxed)
            }
        )
        for file in files { try file.finish() }
        return files.map { Written(name: $0.planned.name, byteCount: $0.planned.byteCount, blocks: $0.digests) }
    }

    private func checkSpace(_ needed: Int) throws {
        guard let free = Files.freeSpace(at: directory), free < needed else { return }
        throw BridgeError(
            .fileSystem,
            "\(Files.parent(of: directory)) has \(ByteFormat.text(free)) free and \(ByteFormat.text(needed)) are needed; "
                + "free some space or choose another destination"
        )
    }
}

/// A worker's buffers.
private struct WriterState: ~Copyable {
    /// The bytes of a block that are produced at once.
    let pieceByteCount: Int
    let reader = TensorReader(readsOnce: true)
    let checksum = BlockChecksum.Stream()
    var buffer = AlignedBuffer(byteCount: BlockChecksum.blockByteCount)

    init(pieceByteCount: Int) { self.pieceByteCount = pieceByteCount }

    mutating func write(_ file: OutputFile, _ range: Range<Int>) throws {
        let bytes = UnsafeMutableRawBufferPointer(start: buffer.bytes, count: range.count)
        checksum.reset()
        for start in stride(from: 0, to: range.count, by: pieceByteCount) {
            let end = min(range.count, start + pieceByteCount)
            let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end])
            try file.planned.read(range.lowerBound + start..<range.lowerBound + end, with: reader, into: piece)
            checksum.update(UnsafeRawBufferPointer(piece))
        }
        try file.write(UnsafeRawBufferPointer(bytes), checksum.digest, at: range.lowerBound)
    }
}

/// A file that several threads write.
private final class OutputFile: Sendable {
    let planned: PlannedFile
    let file: DirectIOFile
    private let stored: Mutex<[BlockChecksum.Digest]>

    init(path: String, planned: PlannedFile) throws {
        self.planned = planned
        file = try DirectIOFile(creating: path, byteCount: planned.byteCount)
        let blocks = (planned.byteCount + BlockChecksum.blockByteCount - 1) / BlockChecksum.blockByteCount
        let empty = BlockChecksum.digest(UnsafeRawBufferPointer(start: nil, count: 0))
        stored = Mutex(Array(repeating: empty, count: blocks))
    }

    var digests: [BlockChecksum.Digest] { stored.withLock { $0 } }

    func write(_ bytes: UnsafeRawBufferPointer, _ digest: BlockChecksum.Digest, at offset: Int) throws {
        stored.withLock { $0[offset / BlockChecksum.blockByteCount] = digest }
        try file.write(bytes, at: offset)
    }

    func finish() throws { try file.finish(byteCount: planned.byteCount) }
}
