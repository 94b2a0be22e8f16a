/// The gradients of several products `x W^T` with the same rows x: those of the results are collected, and then those of x, of
/// the weights and of their low-rank terms computed together.
final class ProjectionGradients {
    private let weights: [Tensor]
    private let terms: LowRankProducts
    private let rows: SavedTensor
    private let inputType: ElementType?
    private let leading: [Int]
    private var ofResults: [Tensor?]

    /// Gradients of which none is known yet.
    ///
    /// - Parameters:
    ///   - weights: Each [n, k].
    ///   - terms: The terms of the weights.
    ///   - rows: x, [m, k].
    ///   - inputType: The type of the gradient of x; nil when it is not needed.
    ///   - leading: The dimensions of x whose product is m.
    init(_ weights: [Tensor], _ terms: LowRankProducts, of rows: SavedTensor, inputType: ElementType?, leading: [Int]) {
        (self.weights, self.terms, self.rows) = (weights, terms, rows)
        (self.inputType, self.leading) = (inputType, leading)
        ofResults = weights.map { _ in nil }
    }

    /// Keeps the gradient of a result.
    ///
    /// - Returns: What the tape passes on to the step that computes the others: something once, and never read.
    func set(_ gradient: Tensor, at index: Int) -> Tensor? {
        let isFirst = ofResults.allSatisfy { $0 == nil }
        ofResults[index] = gradient
        return isFirst ? gradient : nil
    }

    /// The gradients of x, as it was given, of each weight, and of the parameters of the terms; nil for one that is not
    /// needed, that went into the sum of a parameter, or whose result was not used.
    func finish() -> [Tensor?] {
        let found = zip(weights, ofResults).enumerated().compactMap { index, pair in
            pair.1.map { gradient in
                let rows = gradient.cast(to: pair.0.elementType).reshaped([-1, pair.0.shape[0]]).contiguous()
                return (index: index, weight: pair.0, gradient: rows)
            }
        }
        ofResults = []
        let nothing = [Tensor?](repeating: nil, count: 1 + weights.count + terms.parameters.count)
        guard let first = found.first else { return nothing }
        let lows = terms.gradients(found.map { ($0.index, $0.gradient) })
        var input: Tensor?
        if let inputType {
            let sum = first.gradient.makeTensor([first.gradient.shape[0], first.weight.shape[1]], inputType)
            first.gradient.engine.multiplySum(
                found.map(\.gradient) + lows.map(\.gradient),
                (found.map(\.weight) + lows.map(\.down)).map(\.detached.withUnitStride),
                into: sum
            )
            input = sum.reshaped(leading + [first.weight.shape[1]])
        }
        let products = (found.map { ($0.weight, $0.gradient) } + lows.map { ($0.down, $0.gradient) })
            .filter(\.0.isTracked)
        var results: [ObjectIdentifier: Tensor] = [:]
        if !products.isEmpty { Self.multiply(products, rows.tensor, into: &results) }
        for (index, _, gradient) in found {
            guard let (up, low) = terms.up(at: index), up.isTracked else { continue }
            Self.multiply([(up, gradient)], low, into: &results)
        }
        // A parameter that is there twice has one gradient, of all its uses.
        return [input]
            + (weights + terms.parameters).map { $0.node.flatMap { results.removeValue(forKey: ObjectIdentifier($0)) } }
    }

    /// The gradients of parameters [n, k] whose rows' gradients are [m, n], for rows [m, k].
    private static func multiply(
        _ products: [(parameter: Tensor, gradient: Tensor)],
        _ rows: Tensor,
        into results: inout [ObjectIdentifier: Tensor]
    ) {
        var sums: [(GradientAccumulator, Tensor)] = []
        for (parameter, gradient) in products {
            guard let node = parameter.node else { continue }
            if let accumulator = parameter.accumulator {
                sums.append((accumulator, gradient.transposed()))
            } else if let product = parameter.gradientOfWeight(gradient, rows) {
                let key = ObjectIdentifier(node)
                results[key] = results[key].map { $0 + product } ?? product
            }
        }
        GradientAccumulator.addProducts(sums, rows)
    }
}
