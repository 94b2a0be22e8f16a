/// The source pixels of each target pixel along one axis with their weights, in fixed point.
struct ResizeWeights {
    /// The fraction bits: 8 are for the result and 2 for sums below 0 or above 1.
    static let precision: Int32 = 32 - 8 - 2

    /// The first source pixel of each target pixel.
    let starts: [Int]
    /// The number of source pixels of each target pixel.
    let counts: [Int]
    /// `stride` weights for each target pixel.
    let weights: [Int32]
    /// The most weights that a target pixel can have.
    let stride: Int

    /// The computation of Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`, operation by operation.
    init(from source: Int, to target: Int, filter: ResizeFilter) {
        // Pillow keeps the source's box in single precision.
        let scale = Double(Float(source)) / Double(target)
        let filterScale = max(scale, 1)
        let support = filter.support * filterScale
        let inverse = 1 / filterScale
        let stride = Int(support.rounded(.up)) * 2 + 1
        var starts: [Int] = []
        var counts: [Int] = []
        var weights = [Int32](repeating: 0, count: stride * target)
        var exact = [Double](repeating: 0, count: stride)
        for index in 0..<target {
            let center = (Double(index) + 0.5) * scale
            // Conversion truncates towards zero as in C.
            let start = max(Int(center - support + 0.5), 0)
            let end = min(Int(center + support + 0.5), source)
            let count = max(end - start, 0)
            var sum = 0.0
            for offset in 0..<count {
                let weight = filter.weight(at: (Double(offset + start) - center + 0.5) * inverse)
                exact[offset] = weight
                sum += weight
            }
            for offset in 0..<count {
                let weight = (sum != 0 ? exact[offset] / sum : exact[offset]) * Double(1 << Self.precision)
                weights[index * stride + offset] = Int32(weight < 0 ? weight - 0.5 : weight + 0.5)
            }
            starts.append(start)
            counts.append(count)
        }
        (self.starts, self.counts, self.weights, self.stride) = (starts, counts, weights, stride)
    }

    /// Rounds a sum that already has the half in it, and clips it to a byte.
    @inline(__always)
    static func byte(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> precision) }
}
