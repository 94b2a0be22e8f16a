/// Decodes the delta encodings.
///
/// The encodings: https://parquet.apache.org/docs/file-format/data-pages/encodings/, DELTA_BINARY_PACKED and below.
enum DeltaDecoder {
    /// Decodes `count` integers; differences wrap around at the width of the column.
    static func numbers(_ reader: inout ByteReader, count: Int) throws(ParquetError) -> [Int64] {
        let block = try reader.varint()
        let pieces = try reader.varint()
        let total = try reader.varint()
        var last = try reader.zigzag()
        guard block > 0, block <= 1 << 24, block % 128 == 0, pieces > 0, pieces <= block, block % pieces == 0,
            block / pieces % 32 == 0
        else { throw ParquetError("delta blocks of \(block) values in \(pieces) parts are announced") }
        guard total == UInt64(count) else {
            throw ParquetError("\(total) delta values are announced where \(count) are expected")
        }
        guard count > 0 else { return [] }
        let size = Int(block / pieces)
        var values = [last]
        values.reserveCapacity(count)
        while values.count < count {
            let least = try reader.zigzag()
            let widths = try reader.take(Int(pieces))
            for width in widths where values.count < count {
                guard width <= 64 else { throw ParquetError("deltas of \(width) bits are announced") }
                let packed = try reader.take(size / 8 * Int(width))
                BitUnpacker.unpack(packed, width: Int(width), count: min(size, count - values.count)) {
                    last = last &+ least &+ Int64(bitPattern: $0)
                    values.append(last)
                }
            }
        }
        return values
    }

    /// Decodes `count` byte arrays: their lengths, then all bytes.
    static func byteArrays(_ reader: inout ByteReader, count: Int) throws(ParquetError) -> [UnsafeRawBufferPointer] {
        var arrays: [UnsafeRawBufferPointer] = []
        for length in try numbers(&reader, count: count) {
            arrays.append(try reader.take(Int(Int32(truncatingIfNeeded: length))))
        }
        return arrays
    }

    /// Decodes `count` byte arrays that each begin like the one before; `limit` is for the bytes of all together.
    static func prefixed(_ reader: inout ByteReader, count: Int, limit: Int) throws(ParquetError) -> [[UInt8]] {
        let prefixes = try numbers(&reader, count: count)
        let rests = try byteArrays(&reader, count: count)
        var arrays: [[UInt8]] = []
        var last: [UInt8] = []
        var total = 0
        for (prefix, rest) in zip(prefixes, rests) {
            guard prefix >= 0, prefix <= last.count else {
                throw ParquetError("a text takes \(prefix) bytes from one that has \(last.count)")
            }
            total += Int(prefix) + rest.count
            guard total <= limit else { throw ParquetError("a page becomes larger than \(limit) bytes") }
            last = Array(last.prefix(Int(prefix))) + rest
            arrays.append(last)
        }
        return arrays
    }
}
