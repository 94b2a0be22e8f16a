/// The CRC-32 of ZIP archives, of bytes that come one after the other.
///
/// Eight bytes at a time with eight tables, so that a disk and not the processor limits a check.
package struct CRC32: Sendable {
    private var state: UInt32 = 0xFFFF_FFFF

    /// The checksum of no bytes yet.
    package init() {}

    /// The tables: that of a byte, and that of a byte which up to seven others follow.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            tables[byte] = (0..<8).reduce(UInt32(byte)) { value, _ in
                value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1
            }
        }
        for index in 256..<8 * 256 {
            let before = tables[index - 256]
            tables[index] = before >> 8 ^ tables[Int(before & 0xFF)]
        }
        return tables
    }()

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var value = state
        Self.tables.withUnsafeBufferPointer { tables in
            func entry(_ table: Int, _ byte: UInt64) -> UInt32 { tables[table * 256 + Int(byte & 0xFF)] }
            var position = 0
            while position + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
                let mixed = word ^ UInt64(value)
                value = (0..<8).reduce(UInt32(0)) { $0 ^ entry(7 - $1, mixed >> UInt64(8 * $1)) }
                position += 8
            }
            while position < bytes.count {
                value = value >> 8 ^ entry(0, UInt64(value) ^ UInt64(bytes[position]))
                position += 1
            }
        }
        state = value
    }

    /// The checksum of all bytes so far.
    package var value: UInt32 { ~state }
}
