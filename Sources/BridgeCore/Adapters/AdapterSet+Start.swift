import BridgeSupport
import Communication
import Recipes
import Synchronization
import TensorRuntime

/// Adapters that start as parts of the weights of their layers.
extension AdapterSet {
    /// Gives A, B and their starts the parts of the weights that the settings name, so that the model computes what it did
    /// before; nothing if they name none.
    ///
    /// The layers of a module that share A are decomposed as one matrix, the rows of one below those of the other.
    ///
    /// - Parameter groups: The ranks that the model is divided over.
    /// - Throws: `BridgeError` with the module of a weight that cannot be decomposed, and where weights are divided.
    func takeStarts(_ groups: ProcessGroupCollection) throws {
        let kind: PEFTConfiguration.Start
        switch configuration.initLoRAWeights {
        case .standard: return
        case .pissa: kind = .pissa(iterations: nil)
        case .olora: kind = .olora
        }
        guard groups.tp.size == 1 else {
            throw BridgeError(
                .badLayout,
                "peft.init_lora_weights is \(configuration.initLoRAWeights.rawValue), which decomposes whole weights, and tensor parallelism "
                    + "divides them; set model.tensor_model_parallel_size=1"
            )
        }
        let groups = modules.flatMap { module in
            var inputs: [LoRADownProjection] = []
            for case let input? in module.layers.map({ $0.adapter?.input })
            where !inputs.contains(where: { $0 === input }) {
                inputs.append(input)
            }
            return inputs.map { input in (module.name, module.layers.filter { $0.adapter?.input === input }) }
        }
        let weights = groups.map { $1.map(\.weight.tensor.detached) }
        let shapes = groups.map { $1.first?.adapter?.shape ?? AdapterShape(rank: 1, scale: 1) }
        for (index, shape) in shapes.enumerated() {
            let (height, width) = (weights[index].reduce(0) { $0 + $1.shape[0] }, weights[index][0].shape[1])
            guard shape.rank > min(height, width) else { continue }
            throw BridgeError(
                .badConfiguration,
                "peft.dim is \(shape.rank), but the weight of \(groups[index].0) has the shape [\(height), \(width)], and "
                    + "peft.init_lora_weights=\(configuration.initLoRAWeights.rawValue) finds at most \(min(height, width)) parts of it; lower "
                    + "peft.dim, or set peft.init_lora_weights=default"
            )
        }
        let found = Results(count: groups.count)
        // Each decomposition keeps one core busy, and gives the same on any number of them.
        @Sendable func decompose(_ state: inout Void, _ index: Int) throws {
            let whole = Tensor.concatenated(weights[index], dimension: 0)
            let start = try AdapterStart(kind, of: whole, shapes[index])?.shared(kind)
            found.values.withLock { $0[index] = start }
        }
        try Workers.run(items: groups.count, workers: Workers.defaultCount, makeState: {}, body: decompose)
        for ((_, layers), start) in zip(groups, found.values.withLock(\.self)) {
            guard let start, let input = layers.first?.adapter?.input else { continue }
            let down = start.down.cast(to: input.weight.tensor.elementType)
            // Each has memory of its own, as A is changed in place.
            input.weight.replace(with: down * 1)
            input.start?.replace(with: down)
            var first = 0
            for layer in layers {
                guard let adapter = layer.adapter else { continue }
                let rows = first..<first + layer.weight.tensor.shape[0]
                first = rows.upperBound
                let up = start.up.narrowed(0, to: rows).contiguous().cast(to: adapter.output.tensor.elementType)
                adapter.output.replace(with: up)
                adapter.start?.replace(with: up * -1)
            }
        }
    }

    /// The results of several threads, each at its own index.
    private final class Results: Sendable {
        let values: Mutex<[AdapterStart?]>

        init(count: Int) { values = Mutex([AdapterStart?](repeating: nil, count: count)) }
    }
}

extension AdapterStart {
    private init(down: Tensor, up: Tensor) { (self.down, self.up) = (down, up) }

    /// The matrices as training starts with them.
    ///
    /// With PiSSA the root of each singular value is in both, and the sign of a vector is the one with which its largest
    /// element is positive, so that it is the same on all ranks.
    fileprivate func shared(_ kind: PEFTConfiguration.Start) -> AdapterStart {
        var (down, up) = (down, up)
        if kind != .olora {
            let lengths = (down.rowLengths.floats(), up.transposed().contiguous().rowLengths.floats())
            let width = down.shape[1]
            let values = down.floats()
            let factors = zip(lengths.0, lengths.1).enumerated().map { row, lengths -> (down: Float, up: Float) in
                guard lengths.0 > 0, lengths.1 > 0 else { return (0, 0) }
                let largest = values[row * width..<(row + 1) * width].max { abs($0) < abs($1) } ?? 1
                let root = (lengths.0 * lengths.1).squareRoot() * (largest < 0 ? -1 : 1)
                return (root / lengths.0, root / lengths.1)
            }
            let count = factors.count
            down = down * Tensor(factors.map(\.down), shape: [count, 1], on: down.engine)
            up = up * Tensor(factors.map(\.up), shape: [count], on: up.engine)
        }
        return AdapterStart(down: down.contiguous(), up: up.contiguous())
    }
}
