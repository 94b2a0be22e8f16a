/// Events of TensorBoard in the wire format of protocol buffers, and the framing of records.
enum EventRecord {
    /// The first event of a file.
    static func version(at time: Double) -> [UInt8] { number(1, time) + bytes(3, Array("brain.Event:2".utf8)) }

    /// Marks the start of a resumed run; TensorBoard then ignores steps from this one on in older files.
    static func restart(at time: Double, step: Int) -> [UInt8] {
        // SessionLog (field 7) with status START (1).
        number(1, time) + key(2, 0) + varint(UInt64(bitPattern: Int64(step))) + bytes(7, key(1, 0) + varint(1))
    }

    /// A summary with one value for each tag.
    static func scalars(_ scalars: [(tag: String, value: Double)], step: Int, at time: Double) -> [UInt8] {
        var summary: [UInt8] = []
        for (tag, value) in scalars {
            // Summary.Value: tag 1, simple_value 2.
            summary += bytes(1, bytes(1, Array(tag.utf8)) + key(2, 5) + little(Float(value).bitPattern))
        }
        return number(1, time) + key(2, 0) + varint(UInt64(bitPattern: Int64(step))) + bytes(5, summary)
    }

    /// A record in the format of the file.
    static func framed(_ record: [UInt8]) -> [UInt8] {
        let length = little(UInt64(record.count))
        return length + little(masked(length)) + record + little(masked(record))
    }

    private static func masked(_ bytes: [UInt8]) -> UInt32 {
        let sum = checksum(bytes)
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }

    /// CRC-32C, Castagnoli's polynomial, as in RFC 3720, appendix B.4.
    static func checksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~0) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }

    private static func key(_ field: UInt64, _ kind: UInt64) -> [UInt8] { varint(field << 3 | kind) }

    private static func number(_ field: UInt64, _ value: Double) -> [UInt8] { key(field, 1) + little(value.bitPattern) }

    private static func bytes(_ field: UInt64, _ value: [UInt8]) -> [UInt8] {
        key(field, 2) + varint(UInt64(value.count)) + value
    }

    private static func little(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (value, bytes) = (value, [UInt8]())
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }
}
