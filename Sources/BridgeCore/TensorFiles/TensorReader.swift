import BridgeSupport
import CTensorKernels
package import TensorRuntime

/// Produces the bytes of tensor views: reads the stored parts and copies them to their positions in the view.
///
/// A reader keeps scratch memory of a few MiB from call to call, so each thread has its own.
public final class TensorReader {
    /// The largest piece that is converted or rearranged at once, in bytes of its stored type.
    private static let pieceByteCount = 1 << 20
    /// A shorter run is not worth a separate system call.
    private static let shortestRun = 4096

    private var stored = AlignedBuffer(byteCount: 0)
    private var rows = AlignedBuffer(byteCount: 0)
    private var floats = AlignedBuffer(byteCount: 0)
    private var converted = AlignedBuffer(byteCount: 0)
    private var transposedBytes = AlignedBuffer(byteCount: 0)
    private var factors: [ObjectIdentifier: [Int: [Float]]] = [:]

    private var numbers = AlignedBuffer(byteCount: 0)
    private var encoded = AlignedBuffer(byteCount: 0)
    private var pages = AlignedBuffer(byteCount: 0)
    private let readsOnce: Bool

    /// A reader.
    ///
    /// - Parameter readsOnce: Whether the stored bytes are not read again soon: then those of files that are not in the
    ///   page cache bypass it. A conversion writes past the page cache too, and leaves its content to other programs.
    public init(readsOnce: Bool = false) { self.readsOnce = readsOnce }

    /// Memory for the elements of blocks and for what they become.
    func encodingBuffers(floats: Int, bytes: Int) -> (UnsafeMutablePointer<Float>, UnsafeMutableRawPointer) {
        numbers.grow(to: floats * 4)
        encoded.grow(to: bytes)
        return (numbers.bytes.assumingMemoryBound(to: Float.self), encoded.bytes)
    }

    private func copy(_ storage: any ByteStorage, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard readsOnce, let storage = storage as? any UncachedReadable else {
            return try storage.read(at: offset, into: buffer)
        }
        try storage.readUncached(at: offset, into: buffer, through: &pages)
    }

    /// Fills `target` with the bytes of a view from `offset` on, counted from the view's first byte.
    ///
    /// - Throws: `BridgeError` when a stored part cannot be read.
    public func read(_ view: TensorView, at offset: Int, into target: UnsafeMutableRawBufferPointer) throws {
        guard !target.isEmpty else { return }
        let wanted = offset..<offset + target.count
        for block in view.blocks {
            let element = view.elementType.byteCount
            let first = (block.rows.lowerBound * view.width + block.columns.lowerBound) * element
            let end = ((block.rows.upperBound - 1) * view.width + block.columns.upperBound) * element
            guard first < wanted.upperBound, end > wanted.lowerBound else { continue }
            try fill(block, of: view, wanted: wanted, target: target)
        }
    }

    /// Fills a tensor without gaps and of the view's shape with its elements, as the tensor's type.
    ///
    /// - Throws: `BridgeError` when a stored part cannot be read.
    package func read(_ view: TensorView, into tensor: Tensor) throws {
        try tensor.engine.upload(tensor) { try read(view.cast(to: tensor.elementType), at: 0, into: $0) }
    }

    /// All bytes of a view.
    public func bytes(of view: TensorView) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: view.byteCount)
        try bytes.withUnsafeMutableBytes { try read(view, at: 0, into: $0) }
        return bytes
    }

    /// All elements of a view, as float32.
    public func floats(of view: TensorView) throws -> [Float] {
        try bytes(of: view.cast(to: .float32)).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    private func fill(
        _ block: TensorView.Block,
        of view: TensorView,
        wanted: Range<Int>,
        target: UnsafeMutableRawBufferPointer
    ) throws {
        let element = view.elementType.byteCount
        let rowBytes = view.width * element
        let run = block.columns.count * element
        let isFullWidth = block.columns.count == view.width

        guard let content = block.content else {
            forEachRun(of: block, rowBytes: rowBytes, element: element, wanted: wanted) { _, _, piece in
                UnsafeMutableRawBufferPointer(rebasing: target[piece]).initializeMemory(as: UInt8.self, repeating: 0)
            }
            return
        }
        let isPlain = content.tensor.elementType == view.elementType && !content.isTransposed && content.scale == nil
        let storedRowBytes = content.tensor.width * content.tensor.elementType.byteCount
        let start = content.tensor.offset + content.row * storedRowBytes + content.column * element

        if isPlain, isFullWidth, content.tensor.width == view.width {
            let first = block.rows.lowerBound * rowBytes
            let piece = wanted.clamped(to: first..<block.rows.upperBound * rowBytes)
            try copy(
                content.tensor.storage,
                at: start + piece.lowerBound - first,
                into: slice(target, piece.lowerBound - wanted.lowerBound, piece.count)
            )
        } else if isPlain, run >= Self.shortestRun {
            try forEachRun(of: block, rowBytes: rowBytes, element: element, wanted: wanted) { row, skipped, piece in
                try copy(
                    content.tensor.storage,
                    at: start + row * storedRowBytes + skipped,
                    into: UnsafeMutableRawBufferPointer(rebasing: target[piece])
                )
            }
        } else {
            try fillRearranged(block, content, of: view, wanted: wanted, target: target)
        }
    }

    /// Calls `body` for each row of a block that has requested bytes, with the row counted from the block's first, the
    /// number of bytes of the run before the requested ones, and the range in the target.
    private func forEachRun(
        of block: TensorView.Block,
        rowBytes: Int,
        element: Int,
        wanted: Range<Int>,
        body: (_ row: Int, _ skipped: Int, _ piece: Range<Int>) throws -> Void
    ) rethrows {
        for row in rows(of: block, rowBytes: rowBytes, wanted: wanted) {
            let start = row * rowBytes + block.columns.lowerBound * element
            let run = start..<start + block.columns.count * element
            let piece = run.clamped(to: wanted)
            guard !piece.isEmpty else { continue }
            let target = piece.lowerBound - wanted.lowerBound..<piece.upperBound - wanted.lowerBound
            try body(row - block.rows.lowerBound, piece.lowerBound - start, target)
        }
    }

    /// The rows of a block that have some of the wanted bytes of the view.
    private func rows(of block: TensorView.Block, rowBytes: Int, wanted: Range<Int>) -> Range<Int> {
        let rowBytes = max(rowBytes, 1)
        let first = max(block.rows.lowerBound, wanted.lowerBound / rowBytes)
        return first..<max(first, min(block.rows.upperBound, (wanted.upperBound + rowBytes - 1) / rowBytes))
    }

    /// Converts, dequantises or transposes a few rows at a time, whole elements, and copies the requested bytes.
    private func fillRearranged(
        _ block: TensorView.Block,
        _ content: TensorView.Content,
        of view: TensorView,
        wanted: Range<Int>,
        target: UnsafeMutableRawBufferPointer
    ) throws {
        let element = view.elementType.byteCount
        let rowBytes = view.width * element
        let storedElement = content.tensor.elementType.byteCount
        let rows = rows(of: block, rowBytes: rowBytes, wanted: wanted)
        let rowsAtOnce = max(1, Self.pieceByteCount / max(1, block.columns.count * storedElement))
        for row in stride(from: rows.lowerBound, to: rows.upperBound, by: rowsAtOnce) {
            let count = min(rowsAtOnce, rows.upperBound - row)
            let made = try rearranged(
                content,
                row: row - block.rows.lowerBound,
                count: count,
                width: block.columns.count,
                as: view.elementType
            )
            let part = TensorView.Block(rows: row..<row + count, columns: block.columns, content: nil)
            let run = block.columns.count * element
            forEachRun(of: part, rowBytes: rowBytes, element: element, wanted: wanted) { madeRow, skipped, piece in
                let source = UnsafeRawBufferPointer(rebasing: made[(madeRow * run + skipped)...].prefix(piece.count))
                UnsafeMutableRawBufferPointer(rebasing: target[piece]).copyMemory(from: source)
            }
        }
    }

    /// Some rows of a block in the order of the view.
    private func rearranged(
        _ content: TensorView.Content,
        row: Int,
        count: Int,
        width: Int,
        as elementType: ElementType
    ) throws -> UnsafeRawBufferPointer {
        let tensor = content.tensor
        let storedRows =
            content.isTransposed ? content.row..<content.row + width : content.row + row..<content.row + row + count
        let storedColumns =
            content.isTransposed
            ? content.column + row..<content.column + row + count : content.column..<content.column + width
        var bytes = try rectangle(of: tensor, rows: storedRows, columns: storedColumns)
        let elements = storedRows.count * storedColumns.count
        if tensor.elementType != elementType || content.scale != nil,
            let from = tensor.elementType.kernelType, let to = elementType.kernelType
        {
            floats.grow(to: elements * 4)
            converted.grow(to: elements * elementType.byteCount)
            let numbers = floats.bytes.assumingMemoryBound(to: Float.self)
            ctk_load_f32(numbers, bytes.baseAddress, from, elements)
            if let scale = content.scale {
                try apply(scale, to: numbers, rows: storedRows, columns: storedColumns)
            }
            ctk_store_f32(converted.bytes, numbers, to, elements)
            bytes = UnsafeRawBufferPointer(start: converted.bytes, count: elements * elementType.byteCount)
        }
        if content.isTransposed {
            let size = elementType.byteCount
            transposedBytes.grow(to: bytes.count)
            ctk_transpose(
                transposedBytes.bytes,
                storedRows.count * size,
                bytes.baseAddress,
                storedColumns.count * size,
                storedRows.count,
                storedColumns.count,
                size
            )
            bytes = UnsafeRawBufferPointer(start: transposedBytes.bytes, count: bytes.count)
        }
        return bytes
    }

    /// A rectangle of a stored tensor, row by row.
    private func rectangle(of tensor: StoredTensor, rows range: Range<Int>, columns: Range<Int>) throws
        -> UnsafeRawBufferPointer
    {
        let element = tensor.elementType.byteCount
        let run = columns.count * element
        let rowBytes = tensor.width * element
        stored.grow(to: range.count * run)
        let start = tensor.offset + range.lowerBound * rowBytes
        if columns.count == tensor.width {
            try copy(tensor.storage, at: start, into: .init(start: stored.bytes, count: range.count * run))
        } else if run >= Self.shortestRun || rowBytes > Self.pieceByteCount {
            for index in 0..<range.count {
                try copy(
                    tensor.storage,
                    at: start + index * rowBytes + columns.lowerBound * element,
                    into: .init(start: stored.bytes + index * run, count: run)
                )
            }
        } else {
            // Runs this short cost less when the rows are read whole.
            let atOnce = max(1, Self.pieceByteCount / rowBytes)
            for first in stride(from: 0, to: range.count, by: atOnce) {
                let count = min(atOnce, range.count - first)
                rows.grow(to: count * rowBytes)
                try copy(
                    tensor.storage,
                    at: start + first * rowBytes,
                    into: .init(start: rows.bytes, count: count * rowBytes)
                )
                for index in 0..<count {
                    (stored.bytes + (first + index) * run).copyMemory(
                        from: rows.bytes + index * rowBytes + columns.lowerBound * element,
                        byteCount: run
                    )
                }
            }
        }
        return UnsafeRawBufferPointer(start: stored.bytes, count: range.count * run)
    }

    private func apply(
        _ scale: TensorView.Scale,
        to numbers: UnsafeMutablePointer<Float>,
        rows: Range<Int>,
        columns: Range<Int>
    ) throws {
        let factors = try values(of: scale.factors)
        for row in rows {
            let line = row / scale.blockRows * scale.factorsPerRow
            var column = columns.lowerBound
            while column < columns.upperBound {
                let block = column / scale.blockColumns
                let end = min(columns.upperBound, (block + 1) * scale.blockColumns)
                let position = (row - rows.lowerBound) * columns.count + column - columns.lowerBound
                ctk_scale_f32(numbers + position, factors[line + block], end - column)
                column = end
            }
        }
    }

    private func values(of tensor: StoredTensor) throws -> [Float] {
        let storage = ObjectIdentifier(tensor.storage)
        if let known = factors[storage]?[tensor.offset] { return known }
        let count = tensor.shape.reduce(1, *)
        let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        var values = [Float](repeating: 0, count: count)
        guard let type = tensor.elementType.kernelType else {
            throw BridgeError(
                .corruptInput,
                "\(tensor.name) holds scale factors as \(tensor.elementType.rawValue), expected a floating-point type"
            )
        }
        ctk_load_f32(&values, bytes, type, count)
        factors[storage, default: [:]][tensor.offset] = values
        return values
    }

    private func slice(_ buffer: UnsafeMutableRawBufferPointer, _ start: Int, _ count: Int)
        -> UnsafeMutableRawBufferPointer
    {
        UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + count])
    }
}
