import Glibc

/// The bytes of tensors: a file, or memory.
public protocol ByteStorage: AnyObject, Sendable {
    /// The name of the storage in messages: a path, or a description of the memory.
    var name: String { get }
    /// The number of bytes.
    var byteCount: Int { get }

    /// Copies the bytes from `offset` on into the whole of `buffer`.
    ///
    /// - Throws: `BridgeError` when they cannot be read or end early.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws
}

extension ByteStorage {
    /// The bytes of a range as an array.
    public func bytes(_ range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        try bytes.withUnsafeMutableBytes { try read(at: range.lowerBound, into: $0) }
        return bytes
    }
}

/// Storage whose bytes can be read without leaving them in the page cache.
package protocol UncachedReadable: ByteStorage {
    /// Copies the bytes from `offset` on into the whole of `buffer`, for a caller that reads them once.
    ///
    /// - Throws: `BridgeError` when they cannot be read or end early.
    func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws
}

/// Storage whose bytes may turn out to be invalid after they were read.
package protocol Confirmable: ByteStorage {
    /// Checks that all bytes that were read are valid, which may take time; called before a result is committed.
    ///
    /// - Throws: `BridgeError` that names the storage.
    func confirm() throws
}

/// A file that is open for reading.
///
/// It is read with `pread` and not mapped: a file that another process truncates during the run gives an error, where a
/// mapping would end the process. Reads into reused buffers are also faster.
public final class FileStorage: ByteStorage, UncachedReadable, Confirmable {
    /// The path.
    public let name: String
    /// The file's size when it was opened.
    public let byteCount: Int

    private let file: DirectIOFile
    /// The file when it was opened.
    private let stamp: FileStamp

    /// Opens a regular file.
    ///
    /// - Throws: `BridgeError` with code `fileSystem`.
    public init(path: String) throws {
        // Without O_NONBLOCK a named pipe would block until another process opens it for writing.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw BridgeError(.fileSystem, "\(path) is not a regular file")
        }
        name = path
        byteCount = Int(status.st_size)
        stamp = FileStamp(status)
        file = DirectIOFile(descriptor, path: path, isWritable: false)
    }

    /// Copies the bytes from `offset` on into the whole of `buffer`.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try check(try file.read(at: offset, into: buffer), of: buffer.count, at: offset)
    }

    /// Copies the bytes from `offset` on into `buffer`, as far as the file has them.
    ///
    /// - Returns: The number of bytes: fewer than requested at the end of the file.
    /// - Throws: `BridgeError` when it cannot be read.
    public func readAvailable(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try file.read(at: offset, into: buffer)
    }

    package func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws {
        try check(try file.readUncached(at: offset, into: buffer, through: &scratch), of: buffer.count, at: offset)
    }

    /// Checks that the file has not changed since it was opened.
    ///
    /// A file that was removed after it was read is valid: its bytes are those of one state. Another file at its path is
    /// reported all the same, as the result is not that of the present file.
    ///
    /// - Throws: `BridgeError` that names the file.
    package func confirm() throws {
        guard let now = FileStamp(descriptor: file.descriptor), now == stamp,
            FileStamp(path: name).map({ $0 == stamp }) ?? true
        else { throw FileStamp.changed(name) }
    }

    /// Reads a range that starts on a page, past the page cache where it is not in there.
    ///
    /// - Parameters:
    ///   - range: The bytes.
    ///   - memory: Memory that starts on a page and has room for all pages that the range touches.
    ///   - each: Called with each piece as it comes, in their order.
    /// - Throws: `BridgeError` when they cannot be read or end early.
    func readBlock(
        _ range: Range<Int>,
        into memory: UnsafeMutableRawBufferPointer,
        each: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws {
        try check(try file.readBlock(range, into: memory, each: each), of: range.count, at: range.lowerBound)
    }

    private func check(_ count: Int, of wanted: Int, at offset: Int) throws {
        guard count < wanted else { return }
        throw BridgeError(
            .corruptInput,
            "\(name) ends at byte \(offset + count), but a tensor in its header ends after that; "
                + "the file is truncated, download it again"
        )
    }
}

/// Bytes in memory.
public final class MemoryStorage: ByteStorage {
    /// The bytes.
    public let name: String
    private let content: [UInt8]

    /// Storage of the given bytes.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        content = bytes
    }

    /// The number of bytes.
    public var byteCount: Int { content.count }

    /// Copies the bytes from `offset` on into the whole of `buffer`.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard offset >= 0, offset + buffer.count <= content.count else {
            throw BridgeError(
                .corruptInput,
                "\(name) has \(content.count) bytes, \(offset + buffer.count) were requested"
            )
        }
        content.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
        }
    }
}
