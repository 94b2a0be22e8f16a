/// The part of a matrix that a rank has.
public struct ParameterShard: Sendable, Equatable {
    /// The shape of the whole matrix.
    public var shape: [Int]
    /// The rows of it that this rank has.
    public var rows: Range<Int>
    /// The columns of it that this rank has; 0..<1 of a vector.
    public var columns: Range<Int>
    /// Whether this rank stands for the part where it is counted once, as in norms and checkpoints.
    ///
    /// Several ranks have the same part of a replicated matrix.
    public var isOwner: Bool

    /// A part.
    public init(shape: [Int], rows: Range<Int>, columns: Range<Int>, isOwner: Bool) {
        self.shape = shape
        self.rows = rows
        self.columns = columns
        self.isOwner = isOwner
    }

    /// The part that is the whole.
    public init(wholeOf shape: [Int], isOwner: Bool = true) {
        self.init(
            shape: shape,
            rows: 0..<(shape.first ?? 1),
            columns: 0..<shape.dropFirst().reduce(1, *),
            isOwner: isOwner
        )
    }

    /// Whether the part is the whole.
    public var isWhole: Bool {
        rows == 0..<(shape.first ?? 1) && columns == 0..<shape.dropFirst().reduce(1, *)
    }
}

/// What has to be done to a parameter's gradient after the backward pass, because ranks have computed parts of it.
public struct GradientReduction: Sendable {
    /// The ranks that have parts of the gradient.
    public var group: any ProcessGroup
    /// The number of different parameters of this name in the group, and which of them this one is; nil for one.
    ///
    /// Ranks with the same KV group have copies of each other's parameter.
    public var copies: (count: Int, index: Int)?

    /// A sum over a group.
    public init(over group: any ProcessGroup, copies: (count: Int, index: Int)? = nil) {
        self.group = group
        self.copies = copies
    }

    /// Replaces a gradient by the sum of the parts.
    ///
    /// - Throws: What the group throws.
    public func reduce(_ gradient: Tensor) throws {
        guard group.size > 1 else { return }
        guard let copies else { return try group.allReduceSum(gradient) }
        // Each rank adds its part where the matrix is that it has a copy of.
        let all = Tensor.zeros([copies.count] + gradient.shape, gradient.elementType, on: gradient.engine)
        gradient.engine.copy(gradient, into: all.at(copies.index))
        try group.allReduceSum(all)
        gradient.engine.copy(all.at(copies.index), into: gradient)
    }
}
