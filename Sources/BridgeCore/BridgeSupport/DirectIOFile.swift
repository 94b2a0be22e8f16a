import CSystem
import Glibc
import Synchronization

/// A file whose whole pages are written and read past the page cache, where the file system supports that.
///
/// Allocating page-cache memory is slow, above all on virtual machines. Several threads may use it, at different offsets.
package final class DirectIOFile: Sendable {
    package let path: String
    /// The buffered descriptor, for parts that are not whole pages.
    package let descriptor: Int32
    private let isWritable: Bool
    /// The direct descriptor: nil before it is opened, -1 where the file system does not support it.
    private let opened = Mutex<Int32?>(nil)
    private let isRefused = Atomic(false)

    /// The bytes that are read past the page cache at once: they stay in a core's own cache until they are copied.
    static let pieceSize = 1 << 20
    /// A shorter read is not worth the pages around it.
    private static let shortestPiece = 128 << 10
    /// A smaller file is not worth a second descriptor.
    package static let smallestDirect = 1 << 20

    /// Takes ownership of an open file, and closes it in the end.
    init(_ descriptor: Int32, path: String, isWritable: Bool) {
        self.descriptor = descriptor
        self.path = path
        self.isWritable = isWritable
    }

    /// Opens a file for reading and writing, and makes it where there is none.
    ///
    /// - Throws: `BridgeError` when that cannot be, also where the path is a link.
    package convenience init(path: String) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        self.init(descriptor, path: path, isWritable: true)
    }

    /// Creates a file and reserves its space on the disk.
    ///
    /// - Parameters:
    ///   - path: The path, where nothing exists.
    ///   - byteCount: The size.
    /// - Throws: `BridgeError` when it cannot be created, or the disk has too little space.
    package convenience init(creating path: String, byteCount: Int) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        self.init(descriptor, path: path, isWritable: true)
        if byteCount < Self.smallestDirect { isRefused.store(true, ordering: .relaxed) }
        if byteCount > 0, csys_reserve(descriptor, Int64(byteCount)) != 0, [ENOSPC, EDQUOT, EFBIG].contains(errno) {
            throw BridgeError.system("cannot reserve \(ByteFormat.text(byteCount)) for \(path)")
        }
    }

    deinit {
        close(descriptor)
        if let direct = opened.withLock({ $0 }), direct >= 0 { close(direct) }
    }

    /// Whether whole pages are written and read past the page cache.
    package var isDirect: Bool { direct != nil }

    /// The file past the page cache; nil where that is not supported.
    private var direct: Int32? {
        guard !isRefused.load(ordering: .relaxed) else { return nil }
        let found = opened.withLock { opened in
            let found = opened ?? csys_open_direct(descriptor, isWritable ? 1 : 0)
            opened = found
            return found
        }
        return found >= 0 ? found : nil
    }

    // MARK: Writing

    /// Writes bytes.
    ///
    /// - Parameters:
    ///   - bytes: The bytes, with the offset from a page that `offset` has.
    ///   - offset: Their position in the file.
    /// - Throws: `BridgeError` when the disk is full or the write fails.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        let page = AlignedBuffer.alignment
        let start = (offset + page - 1) / page * page
        let end = (offset + bytes.count) / page * page
        guard start < end, let direct else { return try write(bytes, at: offset, to: descriptor) }
        // A page that is only partly in the range is read through the page cache.
        try write(part(bytes, offset, offset..<start), at: offset, to: descriptor)
        try write(part(bytes, offset, start..<end), at: start, to: direct)
        try write(part(bytes, offset, end..<offset + bytes.count), at: end, to: descriptor)
    }

    private func part(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound - offset..<range.upperBound - offset])
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, to descriptor: Int32) throws {
        guard let base = bytes.baseAddress else { return }
        let done = try transfer("write", bytes.count, through: descriptor) { descriptor, done in
            pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
        } refused: {
            // Some file systems open such files and refuse the writes.
            isRefused.store(true, ordering: .relaxed)
        }
        guard done == bytes.count else { throw BridgeError.system("cannot write \(path)", EIO) }
    }

    /// Flushes a file to the disk.
    ///
    /// - Parameter byteCount: The size that it has to have.
    /// - Throws: `BridgeError` when it cannot be flushed or has another size.
    package func finish(byteCount: Int) throws {
        guard ftruncate(descriptor, off_t(byteCount)) == 0, fsync(descriptor) == 0 else {
            throw BridgeError.system("cannot flush \(path)")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == byteCount else {
            throw BridgeError(
                .fileSystem,
                "\(path) has \(status.st_size) bytes after \(byteCount) were written; the file system lost some"
            )
        }
    }

    // MARK: Reading

    /// Copies bytes through the page cache, where they then stay.
    ///
    /// - Returns: The number of bytes: fewer than requested at the end of the file.
    /// - Throws: `BridgeError` when it cannot be read.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try read(at: offset, into: buffer, from: descriptor)
    }

    /// Copies bytes that are not read again soon, without adding them to the page cache.
    ///
    /// - Parameters:
    ///   - offset: Their position in the file.
    ///   - buffer: Their destination.
    ///   - scratch: Temporary memory.
    /// - Returns: The number of bytes: fewer than requested at the end of the file.
    /// - Throws: `BridgeError` when it cannot be read.
    package func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws -> Int {
        guard buffer.count >= Self.shortestPiece, direct != nil else { return try read(at: offset, into: buffer) }
        scratch.grow(to: Self.pieceSize)
        let memory = UnsafeMutableRawBufferPointer(start: scratch.bytes, count: Self.pieceSize)
        var done = 0
        while done < buffer.count {
            let start = offset + done
            let end = min(offset + buffer.count, start / Self.pieceSize * Self.pieceSize + Self.pieceSize)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + end - start])
            let count: Int
            if isCached(start..<end) {
                count = try read(at: start, into: target)
            } else {
                let bytes = try readPages(start..<end, into: memory)
                target.copyMemory(from: bytes)
                count = bytes.count
            }
            done += count
            guard count == end - start else { break }
        }
        return done
    }

    /// Reads a range that starts on a page into memory that is aligned to pages and has room for all pages of the range.
    ///
    /// - Parameters:
    ///   - range: The bytes.
    ///   - memory: Their destination.
    ///   - each: Called with each piece, in order; one from the page cache is still in a core's own cache.
    /// - Returns: The number of bytes: fewer than requested at the end of the file.
    /// - Throws: `BridgeError` when it cannot be read.
    func readBlock(
        _ range: Range<Int>,
        into memory: UnsafeMutableRawBufferPointer,
        each: (UnsafeRawBufferPointer) -> Void
    ) throws -> Int {
        guard direct == nil || isCached(range) else {
            // The disk is fastest with all requests at once.
            let bytes = try readPages(range, into: memory)
            each(bytes)
            return bytes.count
        }
        var done = 0
        while done < range.count {
            let wanted = min(BlockChecksum.pieceByteCount, range.count - done)
            let piece = UnsafeMutableRawBufferPointer(rebasing: memory[done..<done + wanted])
            let count = try read(at: range.lowerBound + done, into: piece)
            each(UnsafeRawBufferPointer(rebasing: piece[..<count]))
            done += count
            guard count == wanted else { break }
        }
        return done
    }

    /// Whether bytes are in the page cache, or the kernel does not say.
    private func isCached(_ range: Range<Int>) -> Bool {
        let page = AlignedBuffer.alignment
        let pages = (range.upperBound + page - 1) / page - range.lowerBound / page
        let cached = csys_cached_pages(descriptor, Int64(range.lowerBound), Int64(range.count))
        return cached < 0 || cached >= pages
    }

    /// Reads bytes past the page cache.
    ///
    /// - Parameters:
    ///   - range: Which.
    ///   - memory: Memory that starts on a page and holds all pages that the range touches.
    /// - Returns: The bytes, in that memory; fewer than requested at the end of the file.
    /// - Throws: `BridgeError` when it cannot be read.
    package func readPages(_ range: Range<Int>, into memory: UnsafeMutableRawBufferPointer) throws
        -> UnsafeRawBufferPointer
    {
        let page = AlignedBuffer.alignment
        let start = range.lowerBound / page * page
        let end = (range.upperBound + page - 1) / page * page
        let pages = UnsafeMutableRawBufferPointer(rebasing: memory[..<(end - start)])
        let count = try read(at: start, into: pages, from: direct ?? descriptor)
        let first = min(count, range.lowerBound - start)
        return UnsafeRawBufferPointer(rebasing: pages[first..<max(first, min(count, range.upperBound - start))])
    }

    private func read(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        from descriptor: Int32
    ) throws -> Int {
        guard let base = buffer.baseAddress else { return 0 }
        // A file system may refuse direct reads, or refuse them after the last whole page.
        return try transfer("read", buffer.count, through: descriptor) { descriptor, done in
            pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
        }
    }

    /// Calls a system call until all bytes are transferred or it transfers none.
    ///
    /// - Parameters:
    ///   - verb: What the call does, for the error.
    ///   - count: The number of bytes.
    ///   - descriptor: The first descriptor to use; the one for the page cache replaces it when the file system refuses it.
    ///   - call: The system call: a descriptor, and the number of bytes that are done.
    ///   - refused: Called when the file system refuses a descriptor.
    /// - Returns: The number of bytes transferred.
    /// - Throws: `BridgeError` when the call fails.
    private func transfer(
        _ verb: String,
        _ count: Int,
        through descriptor: Int32,
        _ call: (Int32, Int) -> Int,
        refused: () -> Void = {}
    ) throws -> Int {
        var descriptor = descriptor
        var done = 0
        while done < count {
            let moved = call(descriptor, done)
            if moved < 0, errno == EINTR { continue }
            if moved < 0, errno == EINVAL, descriptor != self.descriptor {
                refused()
                descriptor = self.descriptor
                continue
            }
            guard moved >= 0 else { throw BridgeError.system("cannot \(verb) \(path)") }
            guard moved > 0 else { break }
            done += moved
        }
        return done
    }
}
