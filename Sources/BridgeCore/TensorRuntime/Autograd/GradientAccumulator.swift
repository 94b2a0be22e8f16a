/// The sum of a parameter's gradients over uses, micro-batches and passes, in float32.
///
/// Products are added directly to the sum, so that a weight's gradient needs no memory of its own.
public final class GradientAccumulator: @unchecked Sendable {
    /// The sum; memory of unknown content while ``isEmpty``.
    public let sum: Tensor
    /// Whether nothing has been added since the last ``clear()``.
    public private(set) var isEmpty = true

    /// An empty sum.
    public init(_ shape: [Int], on engine: any TensorEngine) {
        sum = Tensor(uninitialized: shape, .float32, on: engine)
    }

    /// Resets the sum and keeps the memory.
    public func clear() { isEmpty = true }

    /// Makes the sum readable also when nothing was added.
    public func zeroIfEmpty() {
        if isEmpty { sum.engine.fill(sum, with: 0) }
        isEmpty = false
    }

    /// Adds a gradient of the sum's shape and of any floating-point type.
    public func add(_ gradient: Tensor) {
        if isEmpty {
            sum.engine.copy(gradient.detached, into: sum)
        } else {
            sum.engine.combine(.add, sum, gradient.detached, into: sum)
        }
        isEmpty = false
    }

    /// Adds the matrix product `left` [n, m] `right` [m, k].
    func addProduct(_ left: Tensor, _ right: Tensor) { Self.addProducts([(self, left)], right) }

    /// Adds a matrix product to each of several sums: `left` [n, m] of each with `right` [m, k].
    static func addProducts(_ sums: [(accumulator: GradientAccumulator, left: Tensor)], _ right: Tensor) {
        guard Set(sums.map { ObjectIdentifier($0.accumulator) }).count == sums.count else {
            return sums.forEach { $0.accumulator.addProduct($0.left, right) }
        }
        guard !sums.isEmpty else { return }
        right.engine.multiply(
            sums.map(\.left),
            right,
            into: sums.map(\.accumulator.sum),
            adding: sums.map { !$0.accumulator.isEmpty }
        )
        for (accumulator, _) in sums { accumulator.isEmpty = false }
    }

    /// Adds `left` [n, m] `right` [m, k] to n rows from `first` on, after ``zeroIfEmpty()``.
    func addProduct(_ left: Tensor, _ right: Tensor, toRowsFrom first: Int) {
        let rows = sum.narrowed(0, to: first..<first + left.shape[0])
        sum.engine.multiply(left, right, into: rows, adding: true)
    }

    /// Adds rows of `x` to rows of the sum, after ``zeroIfEmpty()``.
    func scatterAddRows(_ x: Tensor, _ rows: Tensor) { sum.engine.scatterAddRows(x, rows, into: sum) }
}
