public import TensorRuntime

/// A tensor that is not made yet: which parts of stored tensors, side by side, will make it.
///
/// Every mapping between checkpoint formats only moves rows and columns, so a view is a list of blocks, and fusing,
/// splitting, padding, transposing and their inverses are arithmetic on that list. Nothing is read before
/// ``TensorReader`` fills a buffer. A view sees every tensor as a matrix: the first dimension counts the rows, all others
/// together the columns.
public struct TensorView: Sendable {
    /// The type that the elements will have; a block whose tensor has another type is converted, rounding to nearest even.
    public var elementType: ElementType
    /// The sizes, row-major; empty for a scalar.
    public private(set) var shape: [Int]
    /// The blocks, which together cover every element once, ordered by first row, then by first column.
    package private(set) var blocks: [Block]

    /// A rectangle of the view and its source.
    package struct Block: Sendable {
        /// The rows of the view that it covers.
        package var rows: Range<Int>
        /// The columns of the view that it covers.
        package var columns: Range<Int>
        /// The stored tensor; nil for zeros.
        package var content: Content?

        package init(rows: Range<Int>, columns: Range<Int>, content: Content? = nil) {
            self.rows = rows
            self.columns = columns
            self.content = content
        }
    }

    /// A rectangle of a stored tensor.
    package struct Content: Sendable {
        package var tensor: StoredTensor
        /// The row and the column of the stored tensor at which the rectangle starts.
        package var row: Int
        package var column: Int
        /// Whether the stored rectangle is transposed: view rows are stored columns.
        package var isTransposed: Bool
        /// The scale factors of quantised weights.
        package var scale: Scale?

        package init(tensor: StoredTensor, row: Int, column: Int, isTransposed: Bool, scale: Scale? = nil) {
            self.tensor = tensor
            self.row = row
            self.column = column
            self.isTransposed = isTransposed
            self.scale = scale
        }
    }

    /// The factors of a quantised tensor: one for every `blockRows` x `blockColumns` rectangle of it.
    package struct Scale: Sendable {
        package var factors: StoredTensor
        package var blockRows: Int
        package var blockColumns: Int
        /// The number of factors in a row of `factors`.
        package var factorsPerRow: Int
    }

    /// The whole of a stored tensor.
    public init(_ tensor: StoredTensor) {
        elementType = tensor.elementType
        shape = tensor.shape
        let content = Content(tensor: tensor, row: 0, column: 0, isTransposed: false, scale: nil)
        blocks = [Block(rows: 0..<tensor.height, columns: 0..<tensor.width, content: content)]
    }

    package init(elementType: ElementType, shape: [Int], blocks: [Block]) {
        self.elementType = elementType
        self.shape = shape
        self.blocks = blocks
    }

    /// A tensor of zeros.
    public static func zeros(_ elementType: ElementType, shape: [Int]) -> TensorView {
        let width = shape.dropFirst().reduce(1, *)
        let block = Block(rows: 0..<(shape.first ?? 1), columns: 0..<width, content: nil)
        return TensorView(elementType: elementType, shape: shape, blocks: [block])
    }

    /// The number of rows.
    public var height: Int { shape.first ?? 1 }
    /// The number of elements of a row.
    public var width: Int { shape.dropFirst().reduce(1, *) }
    /// The number of bytes of the elements.
    public var byteCount: Int { shape.reduce(elementType.byteCount, *) }

    /// Whether any element is converted when it is read.
    public var isConverted: Bool {
        blocks.contains { $0.content.map { $0.tensor.elementType != elementType || $0.scale != nil } ?? false }
    }

    /// Whether any element is a quantised number times a factor.
    public var isDequantised: Bool { blocks.contains { $0.content?.scale != nil } }

    /// The stored tensors of the view.
    public var sources: [StoredTensor] { blocks.compactMap(\.content?.tensor) }
}

// MARK: - Cutting and joining

extension TensorView {
    /// Some of the rows.
    ///
    /// A range beyond the last row is clipped.
    public func rows(_ range: Range<Int>) -> TensorView {
        let range = range.clamped(to: 0..<height)
        return TensorView(
            elementType: elementType,
            shape: [range.count] + shape.dropFirst(),
            blocks: blocks.compactMap { $0.cut(rows: range, columns: 0..<width) }
        )
    }

    /// Some of the columns of a matrix.
    ///
    /// A range beyond the last column is clipped.
    public func columns(_ range: Range<Int>) -> TensorView {
        let range = range.clamped(to: 0..<width)
        return TensorView(
            elementType: elementType,
            shape: [height, range.count],
            blocks: blocks.compactMap { $0.cut(rows: 0..<height, columns: range) }
        )
    }

    /// The rows of several views, one view below the other.
    ///
    /// Their widths must agree.
    public static func concatenate(rows views: [TensorView]) -> TensorView {
        guard let first = views.first else { return .zeros(.uint8, shape: [0]) }
        var blocks: [Block] = []
        var height = 0
        for view in views {
            for block in view.blocks {
                let moved = block.moved(rows: height, columns: 0)
                if let last = blocks.last, let joined = last.joined(with: moved, width: first.width) {
                    blocks[blocks.count - 1] = joined
                } else {
                    blocks.append(moved)
                }
            }
            height += view.height
        }
        return TensorView(elementType: first.elementType, shape: [height] + first.shape.dropFirst(), blocks: blocks)
    }

    /// The columns of several matrices, concatenated.
    ///
    /// Their heights must agree.
    public static func concatenate(columns views: [TensorView]) -> TensorView {
        guard let first = views.first else { return .zeros(.uint8, shape: [0]) }
        var blocks: [Block] = []
        var width = 0
        for view in views {
            blocks += view.blocks.map { $0.moved(rows: 0, columns: width) }
            width += view.width
        }
        blocks.sort { ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound) }
        return TensorView(elementType: first.elementType, shape: [first.height, width], blocks: blocks)
    }

    /// The view with rows of zeros below it, so that it has `height` rows.
    public func padded(toHeight height: Int) -> TensorView {
        guard height > self.height else { return self }
        let padding = TensorView.zeros(elementType, shape: [height - self.height] + shape.dropFirst())
        return .concatenate(rows: [self, padding])
    }

    /// The same elements with another shape, as long as the rows stay the rows.
    public func reshaped(_ shape: [Int]) -> TensorView {
        TensorView(elementType: elementType, shape: shape, blocks: blocks)
    }
}

// MARK: - Changing elements

extension TensorView {
    /// The transposed matrix.
    public var transposed: TensorView {
        var transposedBytes = blocks.map { block in
            var block = block
            swap(&block.rows, &block.columns)
            block.content?.isTransposed.toggle()
            return block
        }
        transposedBytes.sort {
            ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound)
        }
        return TensorView(elementType: elementType, shape: [width, height], blocks: transposedBytes)
    }

    /// The same tensor with other elements, rounded to nearest even.
    ///
    /// Only floating-point tensors are converted.
    public func cast(to elementType: ElementType) -> TensorView {
        guard self.elementType.isFloatingPoint, elementType.isFloatingPoint else { return self }
        var view = self
        view.elementType = elementType
        return view
    }

    /// A quantised matrix multiplied by its factors, one for each `blockRows` x `blockColumns` rectangle.
    package func dequantised(by factors: StoredTensor, blockRows: Int, blockColumns: Int, to elementType: ElementType)
        -> TensorView
    {
        let perRow = max(1, (width + blockColumns - 1) / max(blockColumns, 1))
        let scale = Scale(factors: factors, blockRows: blockRows, blockColumns: blockColumns, factorsPerRow: perRow)
        var view = self
        view.elementType = elementType
        for index in view.blocks.indices { view.blocks[index].content?.scale = scale }
        return view
    }
}

extension TensorView.Block {
    fileprivate func moved(rows: Int, columns: Int) -> Self {
        var block = self
        block.rows = self.rows.lowerBound + rows..<self.rows.upperBound + rows
        block.columns = self.columns.lowerBound + columns..<self.columns.upperBound + columns
        return block
    }

    /// The part inside a rectangle, in the rectangle's own coordinates; nil when there is none.
    fileprivate func cut(rows: Range<Int>, columns: Range<Int>) -> Self? {
        let keptRows = self.rows.clamped(to: rows)
        let keptColumns = self.columns.clamped(to: columns)
        guard !keptRows.isEmpty, !keptColumns.isEmpty else { return nil }
        var block = self
        let down = keptRows.lowerBound - self.rows.lowerBound
        let right = keptColumns.lowerBound - self.columns.lowerBound
        if var content = block.content {
            content.row += content.isTransposed ? right : down
            content.column += content.isTransposed ? down : right
            block.content = content
        }
        block.rows = keptRows.lowerBound - rows.lowerBound..<keptRows.upperBound - rows.lowerBound
        block.columns = keptColumns.lowerBound - columns.lowerBound..<keptColumns.upperBound - columns.lowerBound
        return block
    }

    /// One block for this one and the one below it, when the stored rows follow each other too.
    fileprivate func joined(with next: Self, width: Int) -> Self? {
        guard let mine = content, let other = next.content, columns == next.columns, columns == 0..<width,
            rows.upperBound == next.rows.lowerBound, !mine.isTransposed, !other.isTransposed,
            mine.tensor.storage === other.tensor.storage, mine.tensor.offset == other.tensor.offset,
            mine.tensor.name == other.tensor.name, mine.column == other.column, mine.row + rows.count == other.row
        else { return nil }
        var block = self
        block.rows = rows.lowerBound..<next.rows.upperBound
        return block
    }
}
