import BridgeSupport
import TensorFiles
import TensorRuntime
import TorchFiles

/// A tensor of a distributed checkpoint as a matrix over the chunks that hold its elements, whatever their shapes are.
struct ChunkedTensor {
    /// A chunk with its elements.
    struct Piece {
        var offsets: [Int]
        var sizes: [Int]
        /// All elements of the chunk, row by row.
        var stored: StoredTensor
    }

    let name: String
    let elementType: ElementType
    let shape: [Int]
    var pieces: [Piece]

    /// The most layers of a model.
    private static let mostLayers = 1 << 14
    /// The most rectangles of one matrix.
    private static let mostBlocks = 1 << 14

    /// The tensors along the first dimension, which counts layers.
    ///
    /// - Throws: `BridgeError` for a tensor without one.
    func layers() throws -> [ChunkedTensor] {
        guard let count = shape.first, count <= Self.mostLayers else {
            throw BridgeError(.corruptInput, "\(name) has the size \(shape), expected one layer after the other")
        }
        var layers = (0..<count).map { _ in
            ChunkedTensor(name: name, elementType: elementType, shape: Array(shape.dropFirst()), pieces: [])
        }
        for piece in pieces {
            let sizes = Array(piece.sizes.dropFirst())
            let stride = sizes.reduce(elementType.byteCount, *)
            for index in 0..<piece.sizes[0] {
                var stored = piece.stored
                stored.shape = sizes
                stored.offset += index * stride
                layers[piece.offsets[0] + index].pieces.append(
                    Piece(offsets: Array(piece.offsets.dropFirst()), sizes: sizes, stored: stored)
                )
            }
        }
        return layers
    }

    /// The tensor as a view.
    ///
    /// - Throws: `BridgeError` for chunks that overlap or leave a gap.
    func view() throws -> TensorView {
        let (height, width) = (shape.first ?? 1, shape.dropFirst().reduce(1, *))
        func corrupt(_ what: String) -> BridgeError { BridgeError(.corruptInput, "\(name) \(what)") }
        var blocks: [TensorView.Block] = []
        var covered = 0
        for piece in pieces where !piece.sizes.contains(0) {
            blocks += try self.blocks(of: piece)
            covered += piece.sizes.reduce(1, *)
            guard covered <= height * width else { throw corrupt("has chunks that hold a part twice") }
            guard blocks.count <= Self.mostBlocks else {
                throw corrupt("is stored in more than \(Self.mostBlocks) pieces, expected the chunks of ranks")
            }
        }
        blocks.sort { ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound) }
        guard covered == height * width else {
            throw corrupt("has chunks for \(covered) of its \(height * width) elements; the checkpoint is not complete")
        }
        guard TensorView.cover(blocks, height: height, width: width) else { throw corrupt("has chunks that overlap") }
        return TensorView(elementType: elementType, shape: shape, blocks: blocks)
    }

    /// The rectangles of a chunk: one for each range of columns that is without a gap in the whole tensor.
    private func blocks(of piece: Piece) throws -> [TensorView.Block] {
        let rows = piece.offsets.first.map { $0..<$0 + piece.sizes[0] } ?? 0..<1
        let (whole, offsets, sizes) = (shape.dropFirst(), piece.offsets.dropFirst(), piece.sizes.dropFirst())
        // Up to the last dimension that is only partly covered, every index has a range of its own.
        let last = Array(zip(whole, sizes)).lastIndex { $0.0 != $0.1 } ?? 0
        let outer = sizes.prefix(last)
        let run = sizes.dropFirst(last).reduce(1, *)
        let count = outer.reduce(1, *)
        guard count <= Self.mostBlocks else {
            throw BridgeError(
                .corruptInput,
                "\(name) has a chunk of \(count) separate ranges, expected the chunks of ranks"
            )
        }
        var stored = piece.stored
        stored.shape = [rows.count, sizes.reduce(1, *)]
        return (0..<count).map { number in
            var (rest, column) = (number, 0)
            // The position of the range in the whole: its index in each outer dimension, times what follows it there.
            var index = [Int](repeating: 0, count: whole.count)
            for dimension in stride(from: last - 1, through: 0, by: -1) {
                let size = outer[outer.startIndex + dimension]
                index[dimension] = rest % size
                rest /= size
            }
            for (dimension, size) in whole.enumerated() {
                column = column * size + index[dimension] + offsets[offsets.startIndex + dimension]
            }
            return TensorView.Block(
                rows: rows,
                columns: column..<column + run,
                content: .init(tensor: stored, row: 0, column: number * run, isTransposed: false)
            )
        }
    }
}
