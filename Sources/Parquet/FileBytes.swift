import Glibc

/// The bytes of a file, mapped into memory, or bytes that are there already.
///
/// Unchecked because of the pointer: what it points to never changes, and lives as long as this does.
final class FileBytes: @unchecked Sendable {
    let buffer: UnsafeRawBufferPointer
    private let mapped: Bool

    /// - Parameters:
    ///   - path: The file.
    ///   - least: How many bytes there are in an empty file of the kind.
    /// - Throws: `ParquetError` when the file cannot be read or is shorter than that.
    init(path: String, least: Int = 12) throws(ParquetError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ParquetError("it cannot be opened: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ParquetError("it is not a file")
        }
        guard status.st_size >= least else {
            throw ParquetError("it has \(status.st_size) bytes, fewer than the \(least) of an empty file of its kind")
        }
        let count = Int(status.st_size)
        guard let pointer = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), pointer != MAP_FAILED else {
            throw ParquetError("it cannot be mapped: \(String(cString: strerror(errno)))")
        }
        buffer = UnsafeRawBufferPointer(start: pointer, count: count)
        mapped = true
    }

    /// Takes ownership of allocated memory.
    init(adopting memory: UnsafeMutableRawBufferPointer) {
        buffer = UnsafeRawBufferPointer(memory)
        mapped = false
    }

    init(_ bytes: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyBytes(from: bytes)
        buffer = UnsafeRawBufferPointer(copy)
        mapped = false
    }

    deinit {
        if mapped {
            munmap(UnsafeMutableRawPointer(mutating: buffer.baseAddress), buffer.count)
        } else {
            buffer.deallocate()
        }
    }
}
