import Glibc

/// A file that is mapped into memory, so that its bytes can be used where the kernel keeps them.
package final class MappedFile: @unchecked Sendable {
    /// The first byte.
    package let pointer: UnsafeRawPointer
    private let byteCount: Int

    /// Maps a whole file.
    ///
    /// - Throws: `BridgeError` with code `fileSystem`.
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
    package func populate(_ range: Range<Int>) {
        let start = range.lowerBound & ~4095
        // MADV_POPULATE_READ, Linux 5.14 and later; where it is not known the pages come when they are used.
        madvise(UnsafeMutableRawPointer(mutating: pointer + start), range.upperBound - start, 22)
    }
}
