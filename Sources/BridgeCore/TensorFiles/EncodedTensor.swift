import BridgeSupport
import CTensorKernels
package import TensorRuntime

/// A tensor that is not made yet, in a format that no element type has.
///
/// The elements are those of a view, row by row; nothing is read before ``TensorReader`` fills a buffer.
package struct EncodedTensor: Sendable {
    /// How elements become bytes.
    package enum Format: Sendable, Equatable {
        /// float32, with a constant added.
        case shifted(by: Float)
        /// Blocks of 32 elements: a factor in float16, then an 8-bit integer for each.
        case eightBits
        /// Blocks of 32 elements: a factor in float16, then 4 bits for each, those of the second half in the upper ones.
        case fourBits
        /// The numbers of quantized rows of `columns` elements, as ``PackedStorage`` has them.
        case packedNumbers(QuantizedFormat, columns: Int)
        /// The factors of quantized rows, bfloat16.
        case packedFactors(QuantizedFormat, columns: Int)

        /// The number of elements that are encoded together.
        package var blockLength: Int {
            switch self {
            case .shifted: 1
            case .eightBits, .fourBits: 32
            case .packedNumbers(_, let columns), .packedFactors(_, let columns): columns
            }
        }

        /// The bytes of a block.
        package var blockByteCount: Int {
            switch self {
            case .shifted: 4
            case .eightBits: 34
            case .fourBits: 18
            case .packedNumbers(let format, let columns): format.rowByteCount(columns)
            case .packedFactors(let format, let columns):
                format.groupCount(columns) * ElementType.bfloat16.byteCount
            }
        }

        /// Writes `count` blocks.
        fileprivate func encode(_ source: UnsafeMutablePointer<Float>, into target: UnsafeMutableRawPointer, count: Int)
        {
            switch self {
            case .shifted(let offset):
                for index in 0..<count { source[index] += offset }
                target.copyMemory(from: source, byteCount: 4 * count)
            case .eightBits: ctk_store_q8_0(target, source, count)
            case .fourBits: ctk_store_q4_0(target, source, count)
            case .packedNumbers(let format, let columns):
                let factors = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: count * format.groupCount(columns) * ElementType.bfloat16.byteCount,
                    alignment: 2
                )
                defer { factors.deallocate() }
                guard let factors = factors.baseAddress else { return }
                format.quantize(source, rows: count, columns: columns, numbers: target, factors: factors)
            case .packedFactors(let format, let columns):
                format.quantize(source, rows: count, columns: columns, numbers: nil, factors: target)
            }
        }
    }

    /// The elements.
    package let view: TensorView
    package let format: Format

    /// A tensor, of floating-point elements and whole blocks.
    package init(_ view: TensorView, as format: Format) {
        self.view = view.cast(to: .float32)
        self.format = format
    }

    /// The number of bytes.
    package var byteCount: Int { view.shape.reduce(1, *) / format.blockLength * format.blockByteCount }
}

extension TensorReader {
    /// The elements that are encoded at once, if a block is not longer.
    private static let elementsAtOnce = 1 << 18

    /// Fills `target` with the bytes of a tensor from `offset` on.
    ///
    /// - Throws: `BridgeError` when a stored part cannot be read.
    package func read(_ tensor: EncodedTensor, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws {
        guard !target.isEmpty else { return }
        let (length, size) = (tensor.format.blockLength, tensor.format.blockByteCount)
        let (end, blocksAtOnce) = (offset + target.count, max(1, Self.elementsAtOnce / length))
        let last = (end + size - 1) / size
        for first in stride(from: offset / size, to: last, by: blocksAtOnce) {
            let count = min(blocksAtOnce, last - first)
            let (numbers, bytes) = encodingBuffers(floats: count * length, bytes: count * size)
            let floats = UnsafeMutableRawBufferPointer(start: numbers, count: count * length * 4)
            try read(tensor.view, at: first * length * 4, into: floats)
            tensor.format.encode(numbers, into: bytes, count: count)
            // The first and the last block may be wanted in part.
            let made = first * size..<(first + count) * size
            let wanted = made.clamped(to: offset..<end)
            UnsafeMutableRawBufferPointer(rebasing: target[(wanted.lowerBound - offset)...].prefix(wanted.count))
                .copyMemory(
                    from: .init(start: bytes + (wanted.lowerBound - made.lowerBound), count: wanted.count)
                )
        }
    }
}
