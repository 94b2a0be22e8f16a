/// The bytes around the members of a stored ZIP archive that is written, of which one may be anywhere and as large as
/// it is.
///
/// Checksums are 0: the bytes of a tensor are not known before they are copied, and torch does not compare them.
/// Sizes are complete in both headers, so that the archive can also be read from its start.
package struct ZipLayout: Sendable {
    /// A file in the archive.
    package enum Content: Sendable {
        case bytes([UInt8])
        /// Bytes that somebody else puts in their position.
        case elsewhere(byteCount: Int)

        var byteCount: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .elsewhere(let count): count
            }
        }
    }

    /// A part of the archive: bytes, or the member of this number that comes from elsewhere.
    package enum Part: Sendable {
        case bytes([UInt8])
        case member(Int)
    }

    /// The parts, one after the other.
    package private(set) var parts: [Part] = []
    /// The size of the archive.
    package private(set) var byteCount = 0

    private var pending: [UInt8] = []

    /// The layout of an archive.
    ///
    /// - Parameters:
    ///   - members: Names and contents, in their order.
    ///   - start: The position of the archive in its file.
    ///   - alignment: What the positions in the file of members from elsewhere are multiples of; 64 is torch's own.
    package init(_ members: [(name: String, content: Content)], at start: Int = 0, alignment: Int = 64) {
        var directory: [UInt8] = []
        for (number, member) in members.enumerated() {
            let offset = byteCount
            let size = member.content.byteCount
            var unit = 1
            if case .elsewhere = member.content { unit = alignment }
            put(Self.local(member.name, size: size, position: start + offset, alignment: unit))
            switch member.content {
            case .bytes(let bytes): put(bytes)
            case .elsewhere:
                flush()
                parts.append(.member(number))
                byteCount += size
            }
            directory += Self.central(member.name, size: size, offset: offset)
        }
        let position = byteCount
        put(directory)
        put(Self.end(count: members.count, size: directory.count, offset: position))
        flush()
    }

    private mutating func put(_ bytes: [UInt8]) {
        pending += bytes
        byteCount += bytes.count
    }

    private mutating func flush() {
        if !pending.isEmpty { parts.append(.bytes(pending)) }
        pending = []
    }

    private static let largest = 0xFFFF_FFFF

    private static func local(_ name: String, size: Int, position: Int, alignment: Int) -> [UInt8] {
        var extra: [UInt8] = []
        if size >= largest { extra = little(1, 2) + little(16, 2) + little(size, 8) + little(size, 8) }
        let content = position + ZipArchive.localSize + name.utf8.count + extra.count
        if alignment > 1, content % alignment != 0 {
            // torch's own padding: an extra field "FB" of the letter Z. Its head takes 4 bytes.
            let padding = alignment - (content + 4) % alignment
            extra += Array("FB".utf8) + little(padding, 2) + [UInt8](repeating: 0x5A, count: padding)
        }
        return header(0x0403_4B50, made: [], size: size, name, extra.count)
            + Array(name.utf8) + extra
    }

    private static func central(_ name: String, size: Int, offset: Int) -> [UInt8] {
        var numbers: [UInt8] = []
        if size >= largest { numbers += little(size, 8) + little(size, 8) }
        if offset >= largest { numbers += little(offset, 8) }
        let extra = numbers.isEmpty ? [] : little(1, 2) + little(numbers.count, 2) + numbers
        return header(0x0201_4B50, made: little(0, 2), size: size, name, extra.count)
            // No comment, first disk, no attributes.
            + little(0, 10) + little(min(offset, largest), 4) + Array(name.utf8) + extra
    }

    /// What both headers have in common, up to the length of the extra field.
    private static func header(
        _ signature: Int,
        made: [UInt8],
        size: Int,
        _ name: String,
        _ extra: Int
    ) -> [UInt8] {
        let small = min(size, largest)
        // The flag says that names are UTF-8; stored; no time; no checksum.
        return little(signature, 4) + made + little(size >= largest ? 45 : 0, 2) + little(0x0800, 2) + little(0, 2)
            + little(0, 4) + little(0, 4) + little(small, 4) + little(small, 4) + little(name.utf8.count, 2)
            + little(extra, 2)
    }

    private static func end(count: Int, size: Int, offset: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        if offset >= largest || count >= 0xFFFF {
            bytes = little(0x0606_4B50, 4) + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8)
            bytes += little(count, 8) + little(count, 8) + little(size, 8) + little(offset, 8)
            bytes += little(0x0706_4B50, 4) + little(0, 4) + little(offset + size, 8) + little(1, 4)
        }
        let (short, position) = (min(count, 0xFFFF), min(offset, largest))
        return bytes + little(0x0605_4B50, 4) + little(0, 4) + little(short, 2) + little(short, 2) + little(size, 4)
            + little(position, 4) + little(0, 2)
    }

    /// A number of up to 8 bytes; longer ones are filled up with zeros.
    private static func little(_ number: Int, _ size: Int) -> [UInt8] {
        (0..<size).map { $0 < 8 ? UInt8(truncatingIfNeeded: number >> (8 * $0)) : 0 }
    }
}
