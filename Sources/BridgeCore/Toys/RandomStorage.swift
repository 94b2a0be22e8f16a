import BridgeSupport
import CTensorKernels
import ModelPlugins
import TensorRuntime

/// The bytes of a tensor of random values, generated when they are read.
///
/// Any part can be made on its own and by any thread; all that is kept is a seed.
final class RandomStorage: ByteStorage {
    let name: String
    let byteCount: Int

    private let width: Int
    private let type: ctk_type
    private let values: ToyValues
    private let seed: UInt64

    /// The values of a tensor.
    ///
    /// - Parameters:
    ///   - name: The tensor's name, which determines the values together with the seed.
    ///   - count: How many there are.
    ///   - elementType: Their type; has to be a floating-point type.
    ///   - values: How they are spread.
    ///   - seed: The seed of the whole model.
    /// - Throws: `BridgeError` for an element type without a random generator.
    init(name: String, count: Int, elementType: ElementType, values: ToyValues, seed: UInt64) throws {
        guard let type = elementType.kernelType else {
            throw BridgeError(
                .badArgument,
                "random weights of the type \(elementType.rawValue) cannot be made; choose float32, float16 or bfloat16"
            )
        }
        self.name = name
        self.type = type
        self.values = values
        self.seed = Self.seed(of: name, seed)
        width = elementType.byteCount
        byteCount = count * width
    }

    /// FNV-1a (64 bits, Fowler, Noll, Vo) of the model's seed, little-endian, and the name.
    ///
    /// Swift's own hashes differ from run to run.
    private static func seed(of name: String, _ seed: UInt64) -> UInt64 {
        let start: UInt64 = 0xCBF2_9CE4_8422_2325
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: seed >> (8 * UInt64($0))) } + Array(name.utf8)
        return bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let base = buffer.baseAddress else { return }
        guard offset >= 0, offset + buffer.count <= byteCount else {
            throw BridgeError(.corruptInput, "\(name) has \(byteCount) bytes, \(offset + buffer.count) were requested")
        }
        var done = 0
        while done < buffer.count {
            let (element, inside) = (offset + done).quotientAndRemainder(dividingBy: width)
            let whole = (buffer.count - done) / width
            if inside == 0, whole > 0 {
                fill(base + done, from: element, count: whole)
                done += whole * width
            } else {
                // Readers may cut an element in two.
                var staging: UInt64 = 0
                let count = min(width - inside, buffer.count - done)
                withUnsafeMutableBytes(of: &staging) { bytes in
                    if let start = bytes.baseAddress { fill(start, from: element, count: 1) }
                    let part = UnsafeRawBufferPointer(rebasing: bytes[inside..<inside + count])
                    UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count]).copyMemory(from: part)
                }
                done += count
            }
        }
    }

    private func fill(_ target: UnsafeMutableRawPointer, from element: Int, count: Int) {
        ctk_random(target, type, seed, UInt64(element), values.center, values.spread, count)
    }
}
