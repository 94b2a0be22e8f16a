import CSystem
import Glibc
import Synchronization

/// A file whose whole pages are written and read past the page cache, where the file system lets that be.
///
/// Fresh page-cache memory is slow to get, above all on virtual machines. Several threads may be at it, at different bytes.
final class PagedFile: Sendable {
    let path: String
    /// The file as others see it, for what is no whole page.
    let descriptor: Int32
    /// The same file past the page cache, or -1.
    private let direct: Int32
    private let isDirect: Atomic<Bool>

    /// Opens a file, and makes it where there is none.
    ///
    /// - Throws: `BridgeError` when that cannot be, also where the path is a link.
    init(path: String) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        direct = csys_open_direct(path)
        isDirect = Atomic(direct >= 0)
    }

    deinit {
        close(descriptor)
        if direct >= 0 { close(direct) }
    }

    /// Writes bytes.
    ///
    /// - Parameters:
    ///   - bytes: The bytes, as far behind the start of a page as `offset` is.
    ///   - offset: Where they go.
    /// - Throws: `BridgeError` when the disk is full or does not take them.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        let page = AlignedBuffer.alignment
        let start = (offset + page - 1) / page * page
        let end = (offset + bytes.count) / page * page
        guard start < end, isDirect.load(ordering: .relaxed) else {
            return try write(bytes, at: offset, to: descriptor)
        }
        // A page of which only a part is here is left to the page cache, which knows the rest.
        try write(part(bytes, offset, offset..<start), at: offset, to: descriptor)
        try write(part(bytes, offset, start..<end), at: start, to: direct)
        try write(part(bytes, offset, end..<offset + bytes.count), at: end, to: descriptor)
    }

    private func part(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound - offset..<range.upperBound - offset])
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, to descriptor: Int32) throws {
        var descriptor = descriptor
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EINVAL, descriptor == direct {
                // Some file systems open such files and refuse the writes.
                isDirect.store(false, ordering: .relaxed)
                descriptor = self.descriptor
                continue
            }
            guard count > 0 else { throw BridgeError.system("cannot write \(path)") }
            done += count
        }
    }

    /// Reads bytes.
    ///
    /// - Parameters:
    ///   - range: Which.
    ///   - buffer: Memory that starts on a page and holds all pages that the range touches.
    /// - Returns: The bytes, in the buffer.
    /// - Throws: `BridgeError` when the file ends before, or cannot be read.
    func read(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws -> UnsafeRawBufferPointer {
        let page = AlignedBuffer.alignment
        let start = range.lowerBound / page * page
        let end = (range.upperBound + page - 1) / page * page
        precondition(end - start <= buffer.count, "the buffer is too small")
        var descriptor = isDirect.load(ordering: .relaxed) ? direct : descriptor
        var done = 0
        while start + done < range.upperBound, let base = buffer.baseAddress {
            let count = pread(descriptor, base + done, end - start - done, off_t(start + done))
            if count < 0, errno == EINTR { continue }
            if descriptor == direct, count < 0 && errno == EINVAL || count > 0 && count % page != 0 {
                // The end of the file, or a file system that refuses such reads.
                descriptor = self.descriptor
                done += max(0, count)
                continue
            }
            guard count > 0 else { throw BridgeError.system("cannot read \(path)") }
            done += count
        }
        return UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(buffer)[range.lowerBound - start..<range.upperBound - start]
        )
    }
}
