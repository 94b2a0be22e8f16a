/// Decodes levels and dictionary indices: runs of one value and groups of eight packed ones, mixed.
///
/// The encoding: https://parquet.apache.org/docs/file-format/data-pages/encodings/, "RLE / Bit-Packing Hybrid".
enum HybridDecoder {
    /// Decodes `count` integers of `width` bits.
    static func decode(_ bytes: UnsafeRawBufferPointer, width: Int, count: Int) throws(ParquetError) -> [UInt32] {
        guard (0...32).contains(width) else { throw ParquetError("the bit width is \(width), expected at most 32") }
        var reader = ByteReader(bytes)
        var values: [UInt32] = []
        values.reserveCapacity(count)
        while values.count < count {
            if width == 0 && reader.remaining == 0 {
                values.append(contentsOf: repeatElement(0, count: count - values.count))
                break
            }
            let head = try reader.varint()
            let wanted = count - values.count
            if head & 1 == 0 {
                var value: UInt32 = 0
                for index in 0..<(width + 7) / 8 { value |= UInt32(try reader.byte()) << UInt32(8 * index) }
                guard width == 32 || value >> UInt32(width) == 0 else {
                    throw ParquetError("a run of \(value) does not fit the bit width \(width)")
                }
                guard head > 1 else { throw ParquetError("a run has no length") }
                values.append(contentsOf: repeatElement(value, count: Int(min(head >> 1, UInt64(wanted)))))
            } else {
                let groups = head >> 1
                guard groups > 0, groups <= 1 << 40 else { throw ParquetError("\(groups) packed groups are announced") }
                // The last group may be truncated after the last value.
                let announced = Int(groups) * width
                let packed = try reader.take(min(announced, reader.remaining))
                let number = min(wanted, Int(groups) * 8)
                guard packed.count * 8 >= number * width else { throw ParquetError("a packed group is truncated") }
                BitUnpacker.unpack(packed, width: width, count: number) {
                    values.append(UInt32(truncatingIfNeeded: $0))
                }
            }
        }
        return values
    }
}

/// Reads integers of any width from bytes, the lowest bit first.
enum BitUnpacker {
    /// Gives `count` integers to `take`; there have to be `width * count` bits at least.
    static func unpack(_ bytes: UnsafeRawBufferPointer, width: Int, count: Int, _ take: (UInt64) -> Void) {
        var bit = 0
        for _ in 0..<count {
            var value: UInt64 = 0
            var filled = 0
            while filled < width {
                let offset = bit & 7
                let step = min(8 - offset, width - filled)
                let part = (UInt64(bytes[bit >> 3]) >> UInt64(offset)) & ((1 << UInt64(step)) - 1)
                value |= part << UInt64(filled)
                filled += step
                bit += step
            }
            take(value)
        }
    }
}
