package import BridgeSupport

/// A ZIP archive in a part of a storage, of which stored members are read where they lie.
///
/// Sizes and positions are taken from the central directory at the end: torch writes local headers without them.
/// Format: PKWARE's APPNOTE 6.3.10, with the ZIP64 records of archives beyond 4 GiB.
package struct ZipArchive: Sendable {
    /// A file in the archive.
    package struct Member: Sendable, Equatable {
        package var name: String
        /// Where its bytes are in the storage.
        package var range: Range<Int>
        /// The CRC-32 of its bytes; 0 where the writer gave none.
        package var checksum: UInt32
    }

    /// The members, in the order of the central directory.
    package let members: [Member]

    /// The most members: a file has one for each storage of a tensor.
    private static let mostMembers = 1 << 16
    /// The largest central directory.
    private static let largestDirectory = 16 << 20

    /// Opens an archive.
    ///
    /// - Parameters:
    ///   - storage: The bytes.
    ///   - range: The part of them that is the archive, without bytes after its end.
    ///   - name: The archive, for messages.
    /// - Throws: `BridgeError` with code `corruptInput` for a damaged archive and for compressed members.
    package init(_ storage: any ByteStorage, in range: Range<Int>, name: String) throws {
        func corrupt(_ what: String) -> BridgeError {
            BridgeError(.corruptInput, "\(name) is not an archive as torch.save writes it: \(what)")
        }
        guard range.lowerBound >= 0, range.upperBound <= storage.byteCount, range.count >= Self.endSize else {
            throw corrupt("it has \(range.count) bytes, or ends after its file; the file is truncated")
        }
        // Together: the end record, and the locator and the record of ZIP64 that may be before it.
        let tailSize = min(range.count, Self.endSize + Self.locatorSize + Self.end64Size)
        let tailStart = range.upperBound - tailSize
        let tail = ZipRecord(try storage.bytes(tailStart..<range.upperBound))
        let end = tailSize - Self.endSize
        guard tail.number(end, 4) == 0x0605_4B50, tail.number(end + 20, 2) == 0 else {
            throw corrupt("it does not end with an end record; it is truncated")
        }
        var (count, size, start) = (tail.number(end + 10, 2), tail.number(end + 12, 4), tail.number(end + 16, 4))
        let locator = end - Self.locatorSize
        if locator >= 0, tail.number(locator, 4) == 0x0706_4B50 {
            let record = tail.number(locator + 8, 8)
            guard record >= 0, record <= range.count - Self.end64Size else {
                throw corrupt("its ZIP64 record starts at byte \(record)")
            }
            let position = range.lowerBound + record
            let large = ZipRecord(try storage.bytes(position..<position + Self.end64Size))
            guard large.number(0, 4) == 0x0606_4B50 else { throw corrupt("it has no ZIP64 record at byte \(record)") }
            (count, size, start) = (large.number(32, 8), large.number(40, 8), large.number(48, 8))
        }
        guard count <= Self.mostMembers, size <= Self.largestDirectory, start <= range.count,
            size <= range.count - start
        else {
            throw corrupt("its directory of \(count) members is \(size) bytes at byte \(start)")
        }
        let first = range.lowerBound + start
        let directory = ZipRecord(try storage.bytes(first..<first + size))
        var members: [Member] = []
        var position = 0
        for _ in 0..<count {
            guard let entry = ZipEntry(directory, at: position) else { throw corrupt("its directory is damaged") }
            position += entry.byteCount
            guard entry.method == 0, entry.storedSize == entry.size else {
                throw corrupt("\(entry.name) is compressed, expected stored members")
            }
            guard entry.offset <= range.count - Self.localSize else {
                throw corrupt("\(entry.name) starts at byte \(entry.offset), after the end")
            }
            let header = range.lowerBound + entry.offset
            let local = ZipRecord(try storage.bytes(header..<header + Self.localSize))
            guard local.number(0, 4) == 0x0403_4B50 else { throw corrupt("\(entry.name) has no header") }
            let content = Self.localSize + local.number(26, 2) + local.number(28, 2)
            guard content <= range.count - entry.offset, entry.size <= range.count - entry.offset - content else {
                throw corrupt("\(entry.name) has \(entry.size) bytes, more than follow its header")
            }
            let byte = header + content
            members.append(Member(name: entry.name, range: byte..<byte + entry.size, checksum: entry.checksum))
        }
        self.members = members
    }

    /// The sizes of the records without their names and extra fields.
    static let (localSize, centralSize, endSize, locatorSize, end64Size) = (30, 46, 22, 20, 56)
}

/// Bytes of which little-endian numbers are read.
struct ZipRecord {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// A number of up to 8 bytes; the largest where it does not fit, or lies outside.
    func number(_ offset: Int, _ size: Int) -> Int {
        guard offset >= 0, offset <= bytes.count - size else { return .max }
        return Int(clamping: bytes[offset..<offset + size].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }
}

/// An entry of a central directory.
struct ZipEntry {
    let name: String
    let method: Int
    let checksum: UInt32
    let storedSize: Int
    let size: Int
    let offset: Int
    /// The bytes of the entry itself.
    let byteCount: Int

    /// The entry at a position; nil where there is none.
    init?(_ record: ZipRecord, at start: Int) {
        let fixed = ZipArchive.centralSize
        guard record.number(start, 4) == 0x0201_4B50, start <= record.bytes.count - fixed else { return nil }
        let (nameSize, extraSize) = (record.number(start + 28, 2), record.number(start + 30, 2))
        byteCount = fixed + nameSize + extraSize + record.number(start + 32, 2)
        guard byteCount <= record.bytes.count - start else { return nil }
        let nameStart = start + fixed
        guard let name = String(validating: record.bytes[nameStart..<nameStart + nameSize], as: UTF8.self) else {
            return nil
        }
        self.name = name
        method = record.number(start + 10, 2)
        checksum = UInt32(truncatingIfNeeded: record.number(start + 16, 4))
        var (stored, size, offset) = (
            record.number(start + 20, 4), record.number(start + 24, 4), record.number(start + 42, 4)
        )
        // Numbers that do not fit stand in the extra field of ZIP64, in this order.
        var field = nameStart + nameSize
        let end = field + extraSize
        while field <= end - 4 {
            let length = record.number(field + 2, 2)
            guard length <= end - field - 4 else { return nil }
            if record.number(field, 2) == 1 {
                var position = field + 4
                func next(_ number: Int) -> Int {
                    guard number == 0xFFFF_FFFF, position + 8 <= field + 4 + length else { return number }
                    defer { position += 8 }
                    return record.number(position, 8)
                }
                (size, stored, offset) = (next(size), next(stored), next(offset))
            }
            field += 4 + length
        }
        (self.storedSize, self.size, self.offset) = (stored, size, offset)
    }
}
