import BridgeSupport
import TensorRuntime

/// The part of a layer's base weight that an initialization of PEFT subtracts, as two more matrices of the adapter.
///
/// PEFT subtracts `scale B0 A0` from the weight each time it loads the adapter. The same result is computed with the
/// unchanged weight and the adapter `scale (B A - B0 A0)`, whose rank is the sum of both; so the base model needs no
/// change, and the adapter can be saved, exported and merged like any other. Source: `pissa_init` and `olora_init` in
/// peft/tuners/lora/layer.py, 0.21.
struct AdapterStart {
    /// A0 and B0, float32 [k, in] and [out, k].
    let down, up: Tensor

    /// The share of an error that a random start may leave in the subspace before the result counts as drawn by chance.
    private static let tolerance = 1e-3

    /// Computes the matrices; nil if nothing is subtracted.
    ///
    /// - Parameters:
    ///   - start: The initialization.
    ///   - weight: The base weight.
    ///   - shape: The adapter's rank and scale.
    /// - Throws: `BridgeError` for a weight that cannot be decomposed, and for one of which PEFT takes out another part
    ///   each time.
    init?(_ start: PEFTConfiguration.Start, of weight: Tensor, _ shape: AdapterShape) throws {
        guard start != .unchanged else { return nil }
        let rank = Self.rank(shape.rank, of: weight)
        let basis = start == .olora ? weight.leadingColumnBasis(rank) : weight.leadingSingularVectors(rank)
        guard let basis, shape.scale != 0 else {
            throw BridgeError(
                .corruptInput,
                "the base weight cannot be decomposed, or lora_alpha is 0; expected finite numbers, as init_lora_weights needs them"
            )
        }
        if case .pissa(let iterations?) = start {
            let error = basis.decay.isZero ? 0 : Self.power(basis.decay, 2 * iterations + 1)
            let spread = (Double(rank) * Double(max(weight.shape[0], weight.shape[1]))).squareRoot()
            guard error * spread < Self.tolerance else {
                throw BridgeError(
                    .badConfiguration,
                    "init_lora_weights is pissa_niter_\(iterations), with which PEFT computes the subtracted part with "
                        + "random numbers each time it loads the adapter; supported are pissa, and pissa_niter_N with enough iterations "
                        + "for one result. Save the adapter with peft's path_initial_model_for_weight_conversion"
                )
            }
        }
        let matrix = weight.detached.cast(to: .float32)
        // PiSSA subtracts the product with the scale; OLoRA subtracts the scale times that.
        let share = start == .olora ? 1 : Float(1 / shape.scale)
        if basis.isOfRows {
            down = basis.vectors.transposed().contiguous()
            up = matrix.matrixProduct(basis.vectors) * share
        } else {
            down = basis.vectors.transposed().matrixProduct(matrix) * share
            up = basis.vectors
        }
    }

    /// The number of rows of A: no decomposition has more vectors than the weight has rows or columns.
    static func rank(_ rank: Int, of weight: Tensor) -> Int { min(rank, weight.shape[0], weight.shape[1]) }

    private static func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, factor, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= factor }
            (factor, rest) = (factor * factor, rest >> 1)
        }
        return result
    }
}
