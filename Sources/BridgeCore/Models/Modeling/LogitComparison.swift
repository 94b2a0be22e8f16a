import BridgeSupport
import Glibc
public import TensorRuntime

/// The difference between the logits of two models for the same tokens.
public struct LogitComparison: Sendable {
    /// The number of positions that were compared.
    public let positions: Int
    /// The largest difference of two logits.
    public let largestDifference: Float
    /// The mean difference.
    public let meanDifference: Float
    /// The largest logit of the first model, by magnitude.
    public let scale: Float
    /// The cosine between all logits of the one and all of the other.
    public let cosine: Double
    /// At how many positions both find the same token likeliest.
    public let sameArgmax: Int
    /// The mean divergence of the second model's next-token distribution from the first's, in nats (Kullback and Leibler).
    public let divergence: Double

    /// Compares logits [..., V] of the same shape.
    ///
    /// - Throws: `BridgeError` when the vocabularies differ.
    public init(_ left: Tensor, _ right: Tensor) throws {
        guard left.shape == right.shape, let width = left.shape.last, width > 0 else {
            throw BridgeError(
                .verificationFailed,
                "the models have vocabularies of \(left.shape.last ?? 0) and \(right.shape.last ?? 0) tokens, so their logits cannot be compared"
            )
        }
        let (a, b) = (left.floats(), right.floats())
        var (largest, total, scale): (Float, Double, Float) = (0, 0, 0)
        var (dot, lengthA, lengthB) = (0.0, 0.0, 0.0)
        for index in a.indices {
            let gap = abs(a[index] - b[index])
            // A NaN is a difference, and no comparison finds it larger.
            largest = gap.isNaN ? .infinity : max(largest, gap)
            total += Double(gap)
            scale = max(scale, abs(a[index]))
            dot += Double(a[index]) * Double(b[index])
            lengthA += Double(a[index]) * Double(a[index])
            lengthB += Double(b[index]) * Double(b[index])
        }
        positions = a.count / width
        var (same, divergence) = (0, 0.0)
        for row in 0..<positions {
            let (one, other) = (Array(a[row * width..<(row + 1) * width]), Array(b[row * width..<(row + 1) * width]))
            if Sampler.argmax(one) == Sampler.argmax(other) { same += 1 }
            let (p, q) = (Self.logProbabilities(one), Self.logProbabilities(other))
            for index in p.indices { divergence += exp(p[index]) * (p[index] - q[index]) }
        }
        largestDifference = largest
        meanDifference = Float(total / Double(max(a.count, 1)))
        self.scale = scale
        cosine = lengthA > 0 && lengthB > 0 ? dot / (lengthA * lengthB).squareRoot() : 0
        sameArgmax = same
        self.divergence = divergence / Double(max(positions, 1))
    }

    private static func logProbabilities(_ logits: [Float]) -> [Double] {
        let best = Double(logits.max() ?? 0)
        let total = log(logits.reduce(0) { $0 + exp(Double($1) - best) })
        return logits.map { Double($0) - best - total }
    }
}
