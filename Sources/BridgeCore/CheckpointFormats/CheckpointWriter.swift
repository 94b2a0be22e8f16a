package import BridgeSupport
import CSystem
import Glibc
import Synchronization
import TensorFiles

/// Writes file plannedFiles into a directory: several threads, a few reused buffers, past the page cache where that is possible.
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

    /// Writes the plannedFiles and flushes them.
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
            if !file.isDirect, planned.byteCount >= OutputFile.smallestDirect {
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
        try file.write(
            UnsafeRawBufferPointer(bytes),
            checksum.digest,
            capacity: buffer.byteCount,
            at: range.lowerBound
        )
    }
}

/// A file that several threads write.
private final class OutputFile: @unchecked Sendable {
    let planned: PlannedFile
    private let path: String
    private let descriptor: Int32
    let isDirect: Bool
    // Each element is written by one thread, once, and read after all have ended.
    private let storedDigests: UnsafeMutableBufferPointer<BlockChecksum.Digest>

    /// Files below this size are not worth the alignment.
    static let smallestDirect = 1 << 20

    init(path: String, planned: PlannedFile) throws {
        self.path = path
        self.planned = planned
        let wantsDirect = planned.byteCount >= Self.smallestDirect
        var descriptor = wantsDirect ? csys_create(path, 1) : -1
        isDirect = descriptor >= 0
        if descriptor < 0 {
            // A file system without direct writes fails with EINVAL, and may leave the empty file.
            if wantsDirect { unlink(path) }
            descriptor = csys_create(path, 0)
        }
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        self.descriptor = descriptor
        let blocks = (planned.byteCount + BlockChecksum.blockByteCount - 1) / BlockChecksum.blockByteCount
        storedDigests = .allocate(capacity: blocks)
        storedDigests.initialize(repeating: BlockChecksum.digest(UnsafeRawBufferPointer(start: nil, count: 0)))
        if planned.byteCount > 0, csys_reserve(descriptor, Int64(planned.byteCount)) != 0,
            [ENOSPC, EDQUOT, EFBIG].contains(errno)
        {
            throw BridgeError.system("cannot reserve \(ByteFormat.text(planned.byteCount)) for \(path)")
        }
    }

    deinit {
        close(descriptor)
        storedDigests.deallocate()
    }

    var digests: [BlockChecksum.Digest] { Array(storedDigests) }

    func write(_ bytes: UnsafeRawBufferPointer, _ digest: BlockChecksum.Digest, capacity: Int, at offset: Int) throws {
        storedDigests[offset / BlockChecksum.blockByteCount] = digest
        // A direct write is a whole number of pages; the file is truncated at the end.
        let page = AlignedBuffer.alignment
        let count = isDirect ? min(capacity, (bytes.count + page - 1) / page * page) : bytes.count
        var (done, hasLeftDirect) = (0, false)
        while done < count {
            guard let base = bytes.baseAddress else { return }
            let written = pwrite(descriptor, base + done, count - done, off_t(offset + done))
            if written < 0, errno == EINTR { continue }
            // Some file systems open a file for direct writes and refuse the writes.
            if written < 0, errno == EINVAL, isDirect, !hasLeftDirect, csys_leave_direct(descriptor) == 0 {
                hasLeftDirect = true
                continue
            }
            guard written > 0 else { throw BridgeError.system("cannot write \(path)") }
            done += written
        }
    }

    func finish() throws {
        guard ftruncate(descriptor, off_t(planned.byteCount)) == 0, fsync(descriptor) == 0 else {
            throw BridgeError.system("cannot flush \(path)")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == planned.byteCount else {
            throw BridgeError(
                .fileSystem,
                "\(path) has \(status.st_size) bytes after \(planned.byteCount) were written; the file system lost some"
            )
        }
    }
}
