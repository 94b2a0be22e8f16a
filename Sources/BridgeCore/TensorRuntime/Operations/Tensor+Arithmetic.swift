/// Arithmetic with broadcasting: dimensions of size 1 are expanded, missing ones are added in front.
extension Tensor {
    /// The shape that two tensors stretch to.
    private static func common(_ left: Tensor, _ right: Tensor, _ operation: BinaryOperation) -> [Int] {
        let rank = max(left.rank, right.rank)
        func padded(_ shape: [Int]) -> [Int] { Array(repeating: 1, count: rank - shape.count) + shape }
        return zip(padded(left.shape), padded(right.shape)).map { one, other in
            guard one == other || one == 1 || other == 1 else {
                fail("\(operation)", "the shapes do not stretch to one", left, right)
            }
            return one == 1 ? other : one
        }
    }

    private static func combine(_ operation: BinaryOperation, _ left: Tensor, _ right: Tensor) -> Tensor {
        guard left.elementType == right.elementType else { fail("\(operation)", "the types differ", left, right) }
        let shape = common(left, right, operation)
        let out = left.makeTensor(shape)
        left.engine.combine(
            operation,
            left.detached.expanded(to: shape),
            right.detached.expanded(to: shape),
            into: out
        )
        return out
    }

    /// The sum.
    public static func + (left: Tensor, right: Tensor) -> Tensor {
        // The shapes alone: the tape would otherwise keep both tensors until the backward pass.
        let (one, other) = (left.shape, right.shape)
        return combine(.add, left, right).tracked([left, right]) { [$0.summed(to: one), $0.summed(to: other)] }
    }

    /// The difference.
    public static func - (left: Tensor, right: Tensor) -> Tensor {
        let (one, other) = (left.shape, right.shape)
        return combine(.subtract, left, right).tracked([left, right]) {
            [$0.summed(to: one), ($0 * -1).summed(to: other)]
        }
    }

    /// The product, element by element.
    public static func * (left: Tensor, right: Tensor) -> Tensor {
        // Each factor is kept for the gradient of the other one only.
        let (shapes, a, b) = (
            (left.shape, right.shape), right.isTracked ? left.detached : nil, left.isTracked ? right.detached : nil
        )
        return combine(.multiply, left, right).tracked([left, right]) { gradient in
            [b.map { (gradient * $0).summed(to: shapes.0) }, a.map { (gradient * $0).summed(to: shapes.1) }]
        }
    }

    /// The quotient, element by element.
    public static func / (left: Tensor, right: Tensor) -> Tensor {
        let (a, b) = (left.detached, right.detached)
        return combine(.divide, left, right).tracked([left, right]) {
            // d(a / b) = da / b - a db / b^2
            [($0 / b).summed(to: a.shape), ($0 * a / (b * b) * -1).summed(to: b.shape)]
        }
    }

    /// `self * scale + shift`.
    public func affine(scale: Float, shift: Float) -> Tensor {
        let out = makeTensor(shape)
        engine.affine(detached, scale: scale, shift: shift, into: out)
        return out.tracked([self]) { [$0.affine(scale: scale, shift: 0)] }
    }

    /// The product with one number.
    public static func * (left: Tensor, right: Float) -> Tensor { left.affine(scale: right, shift: 0) }
    /// The sum with one number.
    public static func + (left: Tensor, right: Float) -> Tensor { left.affine(scale: 1, shift: right) }

    /// The same values as another type, rounded to the nearest even.
    public func cast(to type: ElementType) -> Tensor {
        guard type != elementType else { return self }
        let out = makeTensor(shape, type)
        engine.copy(detached, into: out)
        let old = elementType
        return out.tracked([self]) { [$0.cast(to: old)] }
    }
}
