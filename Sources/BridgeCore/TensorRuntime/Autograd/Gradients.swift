extension Tensor {
    /// Computes the gradients of this scalar and adds them to the accumulators of the parameters it depends on.
    ///
    /// The recorded operations are released. Gradients of tensors without an accumulator are those of ``Gradients``.
    public func backward() { _ = Gradients(of: self) }
}

/// The gradients of a scalar with respect to tracked tensors.
public struct Gradients {
    private var byNode: [ObjectIdentifier: Tensor] = [:]

    /// Runs the backward pass from `loss`, which consumes the tape.
    ///
    /// - Parameters:
    ///   - loss: What to differentiate.
    ///   - seed: The gradient of the end result with respect to `loss`; nil for one, when `loss` is one number.
    ///   - whenComplete: Called with the accumulator of each parameter when the last operation that uses the parameter has
    ///     added to it, so that its sum can be used during the rest of the pass.
    public init(of loss: Tensor, seed: Tensor? = nil, whenComplete: ((GradientAccumulator) -> Void)? = nil) {
        guard let root = loss.node else { return }
        guard seed != nil || loss.count == 1 else { Tensor.fail("Gradients", "one number was expected", loss) }
        var pending: [ObjectIdentifier: Tensor] = [
            ObjectIdentifier(root): seed
                ?? Tensor([1], shape: loss.shape, loss.elementType, on: loss.engine)
        ]
        let nodes = Self.ordered(from: root)
        var uses = Self.uses(in: nodes)
        for node in nodes where node.accumulator == nil || node === root {
            defer {
                // A parameter is as old as the model, so in the order of the nodes it would wait for the end of the pass.
                for case let leaf? in node.inputs where Self.isLastUse(of: leaf, &uses) {
                    guard let accumulator = leaf.accumulator else { continue }
                    if let gradient = pending.removeValue(forKey: ObjectIdentifier(leaf)) { accumulator.add(gradient) }
                    whenComplete?(accumulator)
                }
            }
            guard let gradient = pending.removeValue(forKey: ObjectIdentifier(node)) else { continue }
            guard let backward = node.takeBackward() else {
                if let accumulator = node.accumulator {
                    accumulator.add(gradient)
                } else if node.inputs.isEmpty {
                    byNode[ObjectIdentifier(node)] = gradient
                }
                continue
            }
            for (input, part) in zip(node.inputs, backward(gradient)) {
                guard let input, let part else { continue }
                let key = ObjectIdentifier(input)
                pending[key] = pending[key].map { $0 + part } ?? part
            }
        }
    }

    /// How often operations use each parameter that has an accumulator.
    private static func uses(in nodes: [GradientNode]) -> [ObjectIdentifier: Int] {
        var uses: [ObjectIdentifier: Int] = [:]
        for node in nodes {
            for case let input? in node.inputs where input.accumulator != nil {
                uses[ObjectIdentifier(input), default: 0] += 1
            }
        }
        return uses
    }

    private static func isLastUse(of node: GradientNode, _ uses: inout [ObjectIdentifier: Int]) -> Bool {
        guard let left = uses[ObjectIdentifier(node)] else { return false }
        uses[ObjectIdentifier(node)] = left > 1 ? left - 1 : nil
        return left == 1
    }

    /// Every node that leads to `root`, the newest first.
    static func ordered(from root: GradientNode) -> [GradientNode] {
        var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
        var found = [root]
        var next = 0
        while next < found.count {
            for case let input? in found[next].inputs where seen.insert(ObjectIdentifier(input)).inserted {
                found.append(input)
            }
            next += 1
        }
        return found.sorted { $0.number > $1.number }
    }

    /// The gradient of a leaf.
    subscript(node: GradientNode) -> Tensor? { byNode[ObjectIdentifier(node)] }

    /// The gradient of a tensor that ``Tensor/trackingGradient()`` returned; nil when the loss does not depend on it.
    public subscript(tensor: Tensor) -> Tensor? { tensor.node.flatMap { byNode[ObjectIdentifier($0)] } }
}
