public import BridgeSupport
import TensorRuntime

/// A safetensors file that is open for reading.
public struct SafetensorsFile: Sendable {
    /// The path.
    public let path: String
    /// The header.
    public let header: SafetensorsHeader
    /// The file, from its first byte on.
    public let storage: any ByteStorage

    private let dataOffset: Int

    /// Opens a file and reads its header.
    ///
    /// - Throws: `BridgeError` when it cannot be read, or the header and the file's size do not fit together.
    public init(path: String) throws { try self.init(path: path, storage: FileStorage(path: path)) }

    /// Reads the header of a file in a storage.
    package init(path: String, storage: any ByteStorage) throws {
        guard storage.byteCount >= 8 else {
            throw BridgeError(
                .corruptInput,
                "\(path) has \(storage.byteCount) bytes; a safetensors file has at least 8"
            )
        }
        let length = try storage.bytes(0..<8).enumerated().reduce(UInt64(0)) {
            $0 | UInt64($1.element) << (8 * $1.offset)
        }
        guard try storage.bytes(0..<8) != Array("version ".utf8) else {
            throw BridgeError(
                .corruptInput,
                "\(path) is a pointer of Git LFS, not the file itself; run 'git lfs pull' in its directory"
            )
        }
        guard length <= UInt64(storage.byteCount - 8) else {
            throw BridgeError(
                .corruptInput,
                "\(path) announces a header of \(length) bytes, but only \(storage.byteCount - 8) follow; "
                    + "it is truncated or not a safetensors file"
            )
        }
        guard length <= UInt64(SafetensorsHeader.largestHeader) else {
            throw BridgeError(
                .corruptInput,
                "\(path) announces a header of \(length) bytes; at most \(SafetensorsHeader.largestHeader) are allowed"
            )
        }
        let end = 8 + Int(length)
        let header = try SafetensorsHeader(parsing: storage.bytes(8..<end), name: path)
        guard header.dataByteCount == storage.byteCount - end else {
            let what =
                header.dataByteCount > storage.byteCount - end
                ? "it is truncated, download it again" : "bytes follow that belong to no tensor"
            throw BridgeError(
                .corruptInput,
                "\(path) has \(storage.byteCount - end) bytes of tensors, its header declares \(header.dataByteCount): \(what)"
            )
        }
        self.path = path
        self.header = header
        self.storage = storage
        dataOffset = end
    }

    /// The tensors in the order of their bytes.
    public var tensors: [StoredTensor] {
        header.entries.map {
            StoredTensor(
                name: $0.name,
                elementType: $0.elementType,
                shape: $0.shape,
                storage: storage,
                offset: dataOffset + $0.range.lowerBound
            )
        }
    }
}
