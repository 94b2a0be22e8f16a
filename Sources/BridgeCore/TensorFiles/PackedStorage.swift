import BridgeSupport
import CTensorKernels
package import TensorRuntime

/// The whole numbers of a packed matrix as bfloat16 elements, each of which is exact.
///
/// `pack-quantized` of compressed-tensors (0.12) stores a weight [n, k] of 4 or 8 bits as int32 words [n, ceil(k bits / 32)],
/// whose bits hold the numbers one after the other, larger by half their range. With this storage such a weight is a stored
/// tensor like any other, which factors dequantise.
package final class PackedStorage: ByteStorage {
    /// int32 [n, words].
    package let words: StoredTensor
    /// The bits of a number.
    package let bits: Int
    /// n and k.
    package let rows: Int, columns: Int

    /// The numbers of a packed matrix.
    ///
    /// - Parameters:
    ///   - words: int32 [n, ceil(k bits / 32)].
    ///   - bits: 4 or 8.
    ///   - columns: k.
    package init(_ words: StoredTensor, bits: Int, columns: Int) {
        (self.words, self.bits, self.columns) = (words, bits, columns)
        rows = words.height
    }

    /// The storage of the words.
    package var name: String { words.storage.name }
    /// The number of bytes of the bfloat16 elements.
    package var byteCount: Int { rows * columns * 2 }

    /// Reads the words of a range of elements and unpacks them.
    package func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let range = offset / 2..<(offset + buffer.count + 1) / 2
        guard offset % 2 == 0, buffer.count % 2 == 0, let target = buffer.baseAddress else {
            // Half an element at an end.
            var whole = [UInt16](repeating: 0, count: range.count)
            try whole.withUnsafeMutableBytes { bytes in
                guard !bytes.isEmpty else { return }
                try read(at: range.lowerBound * 2, into: bytes)
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[(offset % 2)...].prefix(buffer.count)))
            }
            return
        }
        var packed = AlignedBuffer(byteCount: 0)
        var element = range.lowerBound
        while element < range.upperBound {
            let (row, column) = (element / columns, element % columns)
            let count = min(columns - column, range.upperBound - element)
            let bytes = column * bits / 8..<((column + count) * bits + 7) / 8
            packed.grow(to: bytes.count)
            try words.storage.read(
                at: words.offset + row * words.width * 4 + bytes.lowerBound,
                into: UnsafeMutableRawBufferPointer(start: packed.bytes, count: bytes.count)
            )
            ctk_unpack(
                target + (element - range.lowerBound) * 2,
                packed.bytes,
                column - bytes.lowerBound * 8 / bits,
                count,
                UInt32(bits)
            )
            element += count
        }
    }
}

extension TensorView {
    /// A part of a packed matrix, and its factors.
    package struct Packed {
        /// The packed matrix.
        package var storage: PackedStorage
        /// The part's rows and columns.
        package var rows: Range<Int>, columns: Range<Int>
        /// The factors of the whole matrix, [n, groups].
        package var factors: StoredTensor
        /// Bits and groups.
        package var format: QuantizedFormat
    }

    /// The number of bits of the whole numbers that the elements are made of; nil for a view without packed ones.
    package var packedBits: Int? {
        blocks.lazy.compactMap { ($0.content?.tensor.storage as? PackedStorage)?.bits }.first
    }

    /// The part of a packed matrix that this view is; nil for any other view, and for groups or factors that no kernel has.
    package var packed: Packed? {
        guard blocks.count == 1, let content = blocks[0].content, !content.isTransposed, let scale = content.scale,
            let storage = content.tensor.storage as? PackedStorage, scale.blockRows == 1,
            scale.factors.elementType == .bfloat16
        else { return nil }
        let groupSize = scale.blockColumns >= storage.columns ? nil : scale.blockColumns
        let columns = content.column..<content.column + width
        // A part of the columns has whole groups if its ends are theirs.
        guard let format = QuantizedFormat(bits: storage.bits, groupSize: groupSize), format.divides(storage.columns),
            columns.count == storage.columns
                || groupSize.map({ columns.lowerBound % $0 == 0 && columns.count % $0 == 0 }) ?? false
        else { return nil }
        return Packed(
            storage: storage,
            rows: content.row..<content.row + height,
            columns: columns,
            factors: scale.factors,
            format: format
        )
    }
}
