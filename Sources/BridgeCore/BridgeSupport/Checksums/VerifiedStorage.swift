import Synchronization

/// A file whose blocks are compared with their checksums as they are read.
///
/// Pieces are copied out of whole blocks, which a ``BlockCache`` keeps while the threads of a conversion use them, so that
/// each byte is read from the disk once and hashed once: a wrong byte is an error of the read and never gets further.
package final class VerifiedStorage: ByteStorage, Confirmable {
    /// The file.
    package let file: FileStorage
    private let isExpected: @Sendable (_ block: Int, BlockChecksum.Digest) -> Bool
    private let cache: BlockCache
    /// A bit for each block that has been compared.
    private let compared: Mutex<[Bool]>

    /// A file whose blocks have known checksums.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - cache: Where blocks are kept.
    ///   - isExpected: Whether a block of ``BlockChecksum/blockByteCount`` bytes, the last one shorter, has the checksum that it
    ///     was written with.
    package init(
        _ file: FileStorage,
        cache: BlockCache,
        isExpected: @escaping @Sendable (_ block: Int, BlockChecksum.Digest) -> Bool
    ) {
        self.file = file
        self.isExpected = isExpected
        self.cache = cache
        blockCount = (file.byteCount + BlockChecksum.blockByteCount - 1) / BlockChecksum.blockByteCount
        compared = Mutex([Bool](repeating: false, count: blockCount))
    }

    package var name: String { file.name }
    package var byteCount: Int { file.byteCount }
    /// The number of blocks.
    package let blockCount: Int

    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let size = BlockChecksum.blockByteCount
        guard offset >= 0, offset + buffer.count <= byteCount else { return try file.read(at: offset, into: buffer) }
        var done = 0
        while done < buffer.count {
            let start = offset + done
            let index = start / size
            let count = min(buffer.count - done, (index + 1) * size - start)
            try cache.withBlock(.init(file: ObjectIdentifier(self), index: index)) { memory in
                try load(index, into: memory)
            } body: { block in
                let piece = UnsafeRawBufferPointer(rebasing: block[start - index * size..<start - index * size + count])
                UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]).copyMemory(from: piece)
            }
            done += count
        }
    }

    /// The bytes of a block in memory, compared with their checksum.
    ///
    /// - Throws: `BridgeError` with code `corruptInput` when they are not those that were written.
    package func compare(_ index: Int, _ bytes: UnsafeRawBufferPointer) throws {
        try compare(index, BlockChecksum.digest(bytes))
    }

    private func compare(_ index: Int, _ digest: BlockChecksum.Digest) throws {
        guard isExpected(index, digest) else {
            throw BridgeError(
                .corruptInput,
                "\(name) is damaged in bytes \(range(of: index).lowerBound) to \(range(of: index).upperBound - 1): their "
                    + "checksum is not the one in the manifest; restore the file from a copy ('bridge checkpoint check' finds "
                    + "all damaged files)"
            )
        }
        compared.withLock { $0[index] = true }
    }

    /// The range of a block in the file.
    package func range(of index: Int) -> Range<Int> {
        let start = index * BlockChecksum.blockByteCount
        return start..<min(byteCount, start + BlockChecksum.blockByteCount)
    }

    package func confirm() throws { try file.confirm() }

    private func load(_ index: Int, into memory: UnsafeMutableRawBufferPointer) throws {
        let range = range(of: index)
        guard !compared.withLock({ $0[index] }) else { return try file.readBlock(range, into: memory) }
        let checksum = BlockChecksum.Stream()
        try file.readBlock(range, into: memory) { checksum.update($0) }
        try compare(index, checksum.digest)
    }
}
