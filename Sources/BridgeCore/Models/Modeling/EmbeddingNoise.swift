import TensorRuntime

/// Noise on the embeddings of tokens in training (NEFTune; Jain et al., arXiv 2310.05914).
///
/// Each element gets a number that is uniform between `-alpha / sqrt(L D)` and `alpha / sqrt(L D)`, where L is the number of tokens
/// of the sample and D the width. transformers takes the padded length for L; here the noise of a sample does not depend on the
/// samples beside it, nor on how the batch is divided over ranks. The features of images have none.
enum EmbeddingNoise {
    /// Embeddings [B x T, D] with the noise of this forward pass, if it has any.
    static func added(to embedded: Tensor, _ batch: TokenBatch) -> Tensor {
        guard let (alpha, stream) = currentEmbeddingNoise() else { return embedded }
        let width = embedded.shape[1]
        var noise: [Float] = []
        noise.reserveCapacity(embedded.count)
        let own = stream.named("neftune")
        for row in 0..<batch.batch {
            let numbers = own.named("row \(row)").uniform(0..<batch.length * width)
            for (place, length) in lengths(of: row, batch).enumerated() {
                // Padding has a length of 0 and no noise.
                let scale = length > 0 ? alpha / (Float(length) * Float(width)).squareRoot() : 0
                for index in place * width..<(place + 1) * width { noise.append((2 * numbers[index] - 1) * scale) }
            }
        }
        let values = Tensor(noise, shape: embedded.shape, on: embedded.engine)
        return (embedded.cast(to: .float32) + values).cast(to: embedded.elementType)
    }

    /// For each token of a row the number of tokens of its sample; 0 for padding.
    private static func lengths(of row: Int, _ batch: TokenBatch) -> [Int] {
        let places = row * batch.length..<(row + 1) * batch.length
        let samples = places.map { place -> Int32 in
            guard batch.isPresent?[place] ?? true else { return -1 }
            return batch.segments?[place] ?? 0
        }
        let counts = samples.reduce(into: [Int32: Int]()) { $0[$1, default: 0] += 1 }
        return samples.map { $0 < 0 ? 0 : counts[$0] ?? 0 }
    }
}
