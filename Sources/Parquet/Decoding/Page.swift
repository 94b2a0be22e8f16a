import CCompression

/// A page in the file: its header decoded, its bytes still compressed.
struct Page {
    enum Kind: Int {
        case data
        case index
        case dictionary
        case dataV2
    }

    let kind: Kind
    let valueCount: Int
    /// Rows that begin in the page; known of version 2 only.
    let rowCount: Int?
    let encoding: Int
    private let levelEncodings: [Int]
    private let unpackedSize: Int
    private let packed: UnsafeRawBufferPointer
    private let checksum: UInt32?
    private let isCompressed: Bool
    /// Bytes of the repetition and of the definition levels in version 2, which are never compressed.
    private let levelBytes: (repetition: Int, definition: Int)

    /// Reads the header and skips the page; nil for an unknown kind of page.
    init?(from reader: inout ByteReader, limits: ParquetLimits) throws(ParquetError) {
        let header = try ThriftValue(structureFrom: &reader)
        let kind = Kind(rawValue: try header.count(1, "the kind of a page"))
        unpackedSize = try header.count(2, "the unpacked size of a page")
        packed = try reader.take(try header.count(3, "the size of a page"))
        guard let kind, kind != .index else { return nil }
        self.kind = kind
        let mostBytes = limits.bytes(ofPacked: packed.count)
        guard unpackedSize <= mostBytes else {
            throw ParquetError(
                "a page of \(packed.count) bytes that unpacks to \(unpackedSize) is announced, at most \(mostBytes)"
            )
        }
        checksum = header[4]?.int.map { UInt32(truncatingIfNeeded: $0) }
        let facts = header[kind == .data ? 5 : kind == .dictionary ? 7 : 8] ?? .structure([:])
        valueCount = try facts.count(1, "the number of values of a page")
        guard valueCount <= limits.values else {
            throw ParquetError("a page of \(valueCount) values is announced, at most \(limits.values)")
        }
        encoding = try facts.count(kind == .dataV2 ? 4 : 2, "the encoding of a page")
        levelEncodings = kind == .data ? [facts[3]?.int ?? 3, facts[4]?.int ?? 3] : [3, 3]
        rowCount = kind == .dataV2 ? try facts.count(3, "the number of rows of a page") : nil
        isCompressed = kind == .dataV2 ? facts[7]?.bool ?? true : true
        levelBytes =
            kind == .dataV2
            ? (try facts.count(6, "the size of levels"), try facts.count(5, "the size of levels")) : (0, 0)
        let levels = levelBytes.repetition.addingReportingOverflow(levelBytes.definition)
        guard !levels.overflow, levels.partialValue <= min(packed.count, unpackedSize) else {
            throw ParquetError("the levels of a page are larger than the page")
        }
    }

    /// The decompressed content, and the levels before it; `use` must not keep its arguments.
    func read<Result>(
        codec: Int,
        leaf: ParquetLeaf,
        _ use: (_ repetition: [UInt32], _ definition: [UInt32], _ content: inout ByteReader) throws(ParquetError) ->
            Result
    ) throws(ParquetError) -> Result {
        if let checksum, let base = packed.bindMemory(to: UInt8.self).baseAddress {
            guard ccomp_crc32(base, packed.count) == checksum else {
                throw ParquetError("a page of column \(leaf.path.joined(separator: ".")) has another checksum")
            }
        }
        let front = levelBytes.repetition + levelBytes.definition
        let body = UnsafeRawBufferPointer(rebasing: packed[front...])
        let storage = try unpack(body, codec: isCompressed ? codec : 0, size: unpackedSize - front)
        defer { storage.deallocate() }
        var content = ByteReader(UnsafeRawBufferPointer(storage))
        guard kind != .dictionary else { return try use([], [], &content) }
        var levels = ByteReader(packed)
        let repetition = try self.levels(
            leaf.maximumRepetition,
            encoding: levelEncodings[1],
            bytes: levelBytes.repetition,
            &levels,
            &content
        )
        let definition = try self.levels(
            leaf.maximumDefinition,
            encoding: levelEncodings[0],
            bytes: levelBytes.definition,
            &levels,
            &content
        )
        return try use(repetition, definition, &content)
    }

    private func levels(
        _ maximum: Int,
        encoding: Int,
        bytes: Int,
        _ front: inout ByteReader,
        _ content: inout ByteReader
    ) throws(ParquetError) -> [UInt32] {
        let separate = kind == .dataV2 ? try front.take(bytes) : nil
        guard maximum > 0 else { return [] }
        guard encoding == 3 else {
            throw ParquetError("levels have the encoding \(encoding), expected RLE")
        }
        let encoded: UnsafeRawBufferPointer
        if let separate { encoded = separate } else { encoded = try content.take(Int(try content.number(UInt32.self))) }
        let width = Int.bitWidth - maximum.leadingZeroBitCount
        let levels = try HybridDecoder.decode(encoded, width: width, count: valueCount)
        guard levels.allSatisfy({ $0 <= UInt32(maximum) }) else { throw ParquetError("a level is above \(maximum)") }
        return levels
    }

    private func unpack(_ bytes: UnsafeRawBufferPointer, codec: Int, size: Int) throws(ParquetError)
        -> UnsafeMutableRawBufferPointer
    {
        let names = [0: "none", 1: "snappy", 2: "gzip", 3: "lzo", 4: "brotli", 5: "lz4", 6: "zstd", 7: "lz4_raw"]
        let name = names[codec] ?? "\(codec)"
        guard [0, 1, 2, 6].contains(codec) else {
            throw ParquetError("its pages are compressed with \(name); write it with snappy, gzip, zstd or none")
        }
        guard codec != 0 || bytes.count == size else {
            throw ParquetError("a page has \(bytes.count) bytes, expected \(size)")
        }
        // One byte more, so that there is an address even where there is no content.
        let storage = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 1, alignment: 16)
        let target = UnsafeMutableRawBufferPointer(rebasing: storage[..<size])
        var done = true
        if codec == 0 {
            target.copyMemory(from: bytes)
        } else if size > 0 || !bytes.isEmpty {
            let input = bytes.bindMemory(to: UInt8.self).baseAddress
            let output = storage.bindMemory(to: UInt8.self).baseAddress
            done =
                switch codec {
                case 1: ccomp_snappy(input, bytes.count, output, size) == 1
                case 2: ccomp_gzip(input, bytes.count, output, size) == 1
                default: ccomp_zstd(input, bytes.count, output, size) == 1
                }
        }
        guard done else {
            storage.deallocate()
            throw ParquetError("a page is damaged: \(name) does not unpack it to \(size) bytes")
        }
        return storage
    }
}
