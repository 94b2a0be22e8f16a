import Glibc

/// A file that is mapped into memory, so that its bytes can be used where the kernel keeps them.
public final class MappedFile: @unchecked Sendable {
    /// The first byte.
    public let pointer: UnsafeRawPointer
    /// The size of the file when it was mapped.
    public let byteCount: Int

    /// Maps a whole file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - least: The fewest bytes that a file of its kind has, at least 1.
    /// - Throws: `BridgeError` with code `fileSystem`.
    public convenience init(path: String, least: Int = 1) throws {
        let file = try FileStorage(path: path)
        guard file.byteCount >= least else {
            throw BridgeError(
                .corruptInput,
                "\(path) has \(file.byteCount) bytes, fewer than the \(least) of an empty file of its kind"
            )
        }
        try self.init(path: path, byteCount: file.byteCount)
    }

    /// Maps a whole file of a known size.
    package init(path: String, byteCount: Int) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        defer { close(descriptor) }
        guard byteCount > 0, let pointer = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0),
            pointer != MAP_FAILED
        else { throw BridgeError.system("cannot map \(path)") }
        self.pointer = UnsafeRawPointer(pointer)
        self.byteCount = byteCount
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: pointer), byteCount) }

    /// Maps all pages of a range at once and not one by one at their first use.
    public func populate(_ range: Range<Int>) {
        let start = range.lowerBound & ~4095
        // MADV_POPULATE_READ, Linux 5.14 and later; older kernels map the pages at their first use.
        madvise(UnsafeMutableRawPointer(mutating: pointer + start), range.upperBound - start, 22)
    }

    /// Takes the pages of a range out of the process; the file's content stays in the page cache.
    public func release(_ range: Range<Int>) {
        // Pages at the ends may belong to a neighbour that is in use, whose next access maps them again.
        let start = range.lowerBound & ~4095
        madvise(UnsafeMutableRawPointer(mutating: pointer + start), range.upperBound - start, MADV_DONTNEED)
    }
}
