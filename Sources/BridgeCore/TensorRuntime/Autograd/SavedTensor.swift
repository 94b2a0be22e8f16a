/// A tensor that an operation needs again in the backward pass.
///
/// If its values can be recomputed cheaply from tensors that are kept anyway, such as the product in the middle of a
/// gated MLP, only those are stored, and its memory is free in between. Operations on the same tensor share one.
final class SavedTensor {
    private let recompute: () -> Tensor
    private var made: Tensor?

    /// Keeps `tensor` in the form that `shape` gives it.
    init(_ tensor: Tensor, _ shape: @escaping (Tensor) -> Tensor) {
        if let recompute = tensor.node?.recompute {
            self.recompute = { shape(recompute()) }
        } else {
            let plain = shape(tensor.detached)
            recompute = { plain }
        }
    }

    /// The values; from the first call on they are kept until the last use.
    var tensor: Tensor {
        if let made { return made }
        let tensor = recompute()
        made = tensor
        return tensor
    }
}
