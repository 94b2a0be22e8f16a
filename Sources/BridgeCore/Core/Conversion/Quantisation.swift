import TensorRuntime

/// How 8-bit checkpoints name and shape the factors of their weights.
enum Quantisation {
    /// The side of the square that one factor belongs to in block-wise checkpoints (`weight_block_size`).
    private static let blockSide = 128

    /// The names under which the factors of a weight may be stored: transformers', then Mistral's own.
    static func scaleNames(of weight: String) -> [String] {
        let base = weight.hasSuffix(".weight") ? String(weight.dropLast(7)) : weight
        return ["\(base).weight_scale_inv", "\(base).qscale_weight", "\(base).weight_scale"]
    }

    /// Whether a tensor holds the scale of quantised activations.
    static func isActivationScale(_ name: String) -> Bool {
        [".activation_scale", ".qscale_act", ".input_scale"].contains { name.hasSuffix($0) }
    }

    /// The rectangle of a weight that each factor belongs to: all of it, one row, or a square of 128.
    static func block(of weight: StoredTensor, factors: StoredTensor) throws -> (rows: Int, columns: Int) {
        let (height, width) = (max(weight.height, 1), max(weight.width, 1))
        let count = factors.shape.reduce(1, *)
        let squares = [(height + blockSide - 1) / blockSide, (width + blockSide - 1) / blockSide]
        guard factors.elementType.isFloatingPoint else {
            throw BridgeError(
                .corruptInput,
                "\(factors.name) holds \(factors.elementType.rawValue), expected floating-point factors"
            )
        }
        if count == 1 { return (height, width) }
        if factors.shape == [height] || factors.shape == [height, 1] { return (1, width) }
        if factors.shape == squares { return (blockSide, blockSide) }
        throw BridgeError(
            .corruptInput,
            "\(factors.name) has the shape \(factors.shape); expected one factor, \([height, 1]) or \(squares)"
        )
    }
}
