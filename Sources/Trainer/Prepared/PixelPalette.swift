import Imaging

/// The values of an image's pixels as indices of one byte each.
///
/// A channel of a normalized image has at most 256 values, because each follows from a byte of the image before; the same bits
/// come back.
struct PixelPalette {
    /// The values of each channel, ``PreparedShard/paletteSize`` of each, the missing ones zero.
    private(set) var values: [Float] = []
    /// The indices of the pixels, [3, height, width].
    private(set) var indices: [UInt8] = []

    /// Twice as many slots as values and more, so that probing ends soon.
    private static let slotBits = 10

    /// The palettes of an image; nil when a channel has more values.
    init?(_ planes: PixelPlanes) {
        let area = planes.width * planes.height
        indices = [UInt8](repeating: 0, count: 3 * area)
        let mask = 1 << Self.slotBits - 1
        for channel in 0..<3 {
            var slots = [Int16](repeating: -1, count: mask + 1)
            var found: [UInt32] = []
            for index in channel * area..<(channel + 1) * area {
                let bits = planes.values[index].bitPattern
                var slot = Int((bits &* 0x9E37_79B1) >> UInt32(32 - Self.slotBits))
                while slots[slot] >= 0, found[Int(slots[slot])] != bits { slot = (slot + 1) & mask }
                if slots[slot] < 0 {
                    guard found.count < PreparedShard.paletteSize else { return nil }
                    slots[slot] = Int16(found.count)
                    found.append(bits)
                }
                indices[index] = UInt8(slots[slot])
            }
            values += found.map { Float(bitPattern: $0) }
            values += repeatElement(0, count: PreparedShard.paletteSize - found.count)
        }
    }

    /// The values of the pixels.
    static func values(of indices: [UInt8], _ palettes: [Float]) -> [Float] {
        let area = indices.count / 3
        return [Float](unsafeUninitializedCapacity: indices.count) { output, written in
            indices.withUnsafeBufferPointer { indices in
                palettes.withUnsafeBufferPointer { palettes in
                    for channel in 0..<3 {
                        let first = channel * PreparedShard.paletteSize
                        for index in channel * area..<(channel + 1) * area {
                            output[index] = palettes[first + Int(indices[index])]
                        }
                    }
                }
            }
            written = indices.count
        }
    }
}
