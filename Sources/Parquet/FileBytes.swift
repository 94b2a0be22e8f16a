import BridgeCore

/// The bytes of a file that is mapped into memory, or bytes in memory.
///
/// Unchecked because of the pointer: its bytes never change, and exist as long as this does.
final class FileBytes: @unchecked Sendable {
    let buffer: UnsafeRawBufferPointer
    /// Nil for memory that this owns.
    private let file: MappedFile?

    /// - Parameters:
    ///   - path: The file.
    ///   - least: The number of bytes of an empty file of the kind.
    /// - Throws: `ParquetError` when the file cannot be read or is shorter than that.
    init(path: String, least: Int = 12) throws(ParquetError) {
        let file: MappedFile
        do { file = try MappedFile(path: path, least: least) } catch {
            // The caller names the file.
            throw ParquetError((error as? BridgeError)?.message.replacing(path, with: "it") ?? "\(error)")
        }
        buffer = UnsafeRawBufferPointer(start: file.pointer, count: file.byteCount)
        self.file = file
    }

    /// Takes ownership of allocated memory.
    init(adopting memory: UnsafeMutableRawBufferPointer) {
        buffer = UnsafeRawBufferPointer(memory)
        file = nil
    }

    init(_ bytes: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyBytes(from: bytes)
        buffer = UnsafeRawBufferPointer(copy)
        file = nil
    }

    deinit { if file == nil { buffer.deallocate() } }
}
