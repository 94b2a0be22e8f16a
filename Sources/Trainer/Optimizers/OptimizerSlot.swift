import BridgeCore
import TensorRuntime

/// A trained parameter with its gradient and this rank's part of the optimizer's state.
///
/// With a distributed optimizer (ZeRO-1, Rajbhandari et al., arXiv 1910.02054) each of the ranks with the same parameter
/// has the state of some of its rows, and updates those.
struct OptimizerSlot: Sendable {
    let parameter: Parameter
    /// The values of the parameter, all rows.
    let values: Tensor
    let gradient: GradientAccumulator
    /// Its learning rate as a multiple of that of the run.
    let rateFactor: Double
    /// The rows of the parameter whose state each rank has; one range of all rows without a distributed optimizer.
    let parts: [Range<Int>]
    /// The rows whose state this rank has.
    let rows: Range<Int>
    let main: Tensor
    let first: Tensor
    /// AdamW's second moment; nil for SGD.
    let second: Tensor?

    /// The state of a parameter.
    ///
    /// - Parameters:
    ///   - parameter: The parameter, which is given memory of its own.
    ///   - isAdam: Whether there is a second moment.
    ///   - rateFactor: Its learning rate as a multiple of that of the run.
    ///   - ranks: The ranks that share the state; one rank for a state of its own.
    init(_ parameter: Parameter, isAdam: Bool, rateFactor: Double, ranks: any ProcessGroup) {
        self.rateFactor = rateFactor
        parameter.makeWritable()
        self.parameter = parameter
        gradient = parameter.accumulateGradients()
        parts = ranks.parts(of: parameter.tensor.shape.first ?? 1)
        rows = parts[ranks.rank]
        values = parameter.tensor.detached
        let own = Self.rows(rows, of: values)
        main = own.cast(to: .float32)
        first = .zeros(own.shape, .float32, on: own.engine)
        second = isAdam ? .zeros(own.shape, .float32, on: own.engine) : nil
    }

    private static func rows(_ rows: Range<Int>, of tensor: Tensor) -> Tensor {
        rows.count == tensor.shape.first ?? 1 ? tensor : tensor.narrowed(0, to: rows)
    }

    /// Whether several ranks share the state.
    var isDistributed: Bool { parts.count > 1 }
    /// Whether this rank has no row of a small parameter.
    var isEmpty: Bool { rows.isEmpty }
    /// The sum of the gradients of this rank's rows.
    var ownGradient: Tensor { Self.rows(rows, of: gradient.sum) }
    /// This rank's rows of the parameter of the forward pass, if they are not `main` itself.
    var model: Tensor? {
        values.elementType == .float32 ? nil : Self.rows(rows, of: values)
    }
    /// Vectors, such as norms and biases, have no weight decay.
    var decays: Bool { main.rank > 1 }

    /// The part of the whole matrix that the state is for; nil for all of it.
    var shard: ParameterShard? {
        guard isDistributed else { return parameter.shard }
        var shard = parameter.shard ?? ParameterShard(wholeOf: values.shape)
        let start = shard.rows.lowerBound
        shard.rows = start + rows.lowerBound..<start + rows.upperBound
        return shard
    }
}
