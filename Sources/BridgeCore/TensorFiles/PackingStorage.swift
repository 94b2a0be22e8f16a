import BridgeSupport
import CTensorKernels
package import TensorRuntime

/// What a matrix becomes when it is quantized, made as it is read: the packed numbers, or their factors.
package final class PackingStorage: ByteStorage {
    /// What the bytes are.
    package enum Part: Sendable {
        /// int32 words, as ``PackedStorage`` has them.
        case words
        /// bfloat16 [n, groups].
        case factors
    }

    private let source: TensorView
    private let format: QuantizedFormat
    private let part: Part

    /// The quantized form of a matrix [n, k] of floating-point numbers whose rows have whole groups.
    package init(_ source: TensorView, _ format: QuantizedFormat, _ part: Part) {
        // The types that are quantized: others are widened.
        self.source = source.elementType == .bfloat16 ? source : source.cast(to: .float32)
        (self.format, self.part) = (format, part)
    }

    /// The storage of the source.
    package var name: String { source.sources.first?.storage.name ?? "zeros" }
    /// The number of bytes of this part.
    package var byteCount: Int { source.height * rowByteCount }

    private var rowByteCount: Int {
        part == .words ? format.rowByteCount(source.width) : format.groupCount(source.width) * 2
    }

    /// The most bytes of the source that are read at once.
    private static let pieceByteCount = 1 << 20

    /// Reads the rows of a range and quantizes them.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard !buffer.isEmpty, rowByteCount > 0 else { return }
        let (columns, type) = (source.width, source.elementType)
        let (wordBytes, groups) = (format.rowByteCount(columns), format.groupCount(columns))
        let height = max(1, Self.pieceByteCount / max(columns * type.byteCount, 1))
        let end = offset + buffer.count
        let rows = offset / rowByteCount..<(end + rowByteCount - 1) / rowByteCount
        var numbers = AlignedBuffer(byteCount: 0)
        var (words, factors) = ([UInt8](), [UInt8]())
        let reader = TensorReader()
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
            let count = min(height, rows.upperBound - first)
            numbers.grow(to: count * columns * type.byteCount)
            words = [UInt8](repeating: 0, count: count * wordBytes)
            factors = [UInt8](repeating: 0, count: count * groups * 2)
            try reader.read(
                source,
                at: first * columns * type.byteCount,
                into: UnsafeMutableRawBufferPointer(start: numbers.bytes, count: count * columns * type.byteCount)
            )
            format.quantize(
                numbers.bytes,
                type,
                rows: count,
                columns: columns,
                words: &words,
                factors: &factors
            )
            let made = first * rowByteCount..<(first + count) * rowByteCount
            let piece = made.clamped(to: offset..<end)
            let target = UnsafeMutableRawBufferPointer(
                rebasing: buffer[(piece.lowerBound - offset)...].prefix(piece.count)
            )
            (part == .words ? words : factors).withUnsafeBytes {
                let start = piece.lowerBound - made.lowerBound
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + piece.count]))
            }
        }
    }
}
