/// Tensors with one entry for each token that attention still sees, along one dimension.
///
/// With a window the entries are in a ring as long as the window, so that the memory does not grow.
final class TokenMemory {
    private let window: Int?
    private let dimension: Int
    private var capacity: Int
    private var tensors: [Tensor] = []
    /// The number of tokens that are kept.
    private var kept = 0
    /// The number of tokens that were stored; in a ring, more than are kept.
    private var stored = 0
    /// Of how many of the newest tokens it is known what they have overwritten in a ring.
    var removableCount = 0
    /// What these tokens have overwritten, oldest first; nil for a token that took an empty slot.
    private var overwritten: [[Tensor]?] = []

    /// Memory without tokens.
    ///
    /// - Parameters:
    ///   - window: How many positions a query sees; nil for all.
    ///   - dimension: The dimension of tokens.
    ///   - capacity: How many tokens there is room for at first.
    init(window: Int?, dimension: Int, capacity: Int) {
        self.window = window
        self.dimension = dimension
        self.capacity = max(1, window.map { min($0, capacity) } ?? capacity)
    }

    var byteCount: Int { tensors.reduce(0) { $0 + $1.storage.byteCount } }

    /// Whether tokens are overwritten by later ones.
    var isRing: Bool { window != nil }

    /// What is kept, in the order of the tokens; nil for a ring in which that is not their order, and without tokens.
    var ordered: [Tensor]? { stored == kept && kept > 0 ? tensors.map(part) : nil }

    /// Appends the entries of new tokens.
    ///
    /// - Parameter new: A tensor for each that is kept.
    /// - Returns: The entries that the new tokens may see, in no particular order.
    func append(_ new: [Tensor]) -> [Tensor] {
        let count = new[0].shape[dimension]
        guard let window, kept + count > window, count > 1 else {
            // Nothing that a new token sees is overwritten: there is room, or one token replaces the oldest one.
            remember(count)
            store(new, from: 0)
            return tensors.map(part)
        }
        // The first of the new tokens still see what the last of them will write over.
        let seen =
            kept == 0
            ? new : zip(tensors, new).map { Tensor.concatenated([part($0), $1], dimension: dimension) }
        overwritten = []
        store(new, from: max(0, count - window))
        return seen
    }

    /// Removes the newest tokens, so that the memory is what it was before them.
    ///
    /// - Parameter count: Their number; with a window at most ``removableCount``, and each was appended alone or into empty slots.
    func removeLast(_ count: Int) {
        guard let window else {
            (kept, stored) = (kept - count, stored - count)
            return
        }
        for _ in 0..<count {
            guard let old = overwritten.popLast() else {
                Tensor.fail(
                    "KVCache",
                    "\(count) tokens cannot be removed, what the first of them have overwritten is not known"
                )
            }
            stored -= 1
            guard let old else {
                kept -= 1
                continue
            }
            let slot = stored % window
            for (old, tensor) in zip(old, tensors) {
                tensor.engine.copy(old, into: tensor.narrowed(dimension, to: slot..<slot + 1))
            }
        }
    }

    /// Keeps what new tokens, several only where there is room for all, will overwrite.
    private func remember(_ count: Int) {
        guard let window, removableCount > 0 else { return }
        if kept == window {
            let slot = stored % window
            overwritten.append(tensors.map { $0.narrowed(dimension, to: slot..<slot + 1).copied() })
        } else {
            overwritten += [[Tensor]?](repeating: nil, count: count)
        }
        overwritten.removeFirst(max(0, overwritten.count - removableCount))
    }

    /// What is kept in memory with room for more.
    private func part(_ tensor: Tensor) -> Tensor { tensor.narrowed(dimension, to: 0..<kept) }

    private func store(_ new: [Tensor], from first: Int) {
        let count = new[0].shape[dimension]
        // The new tokens alone fill the ring.
        if first > 0 { (kept, stored) = (0, 0) }
        reserve(kept + count - first, like: new)
        var token = first
        while token < count {
            let slot = window.map { stored % $0 } ?? stored
            let run = min(count - token, capacity - slot)
            for (source, target) in zip(new, tensors) {
                let part = run == count ? source : source.narrowed(dimension, to: token..<token + run)
                target.engine.copy(part, into: target.narrowed(dimension, to: slot..<slot + run))
            }
            kept = max(kept, slot + run)
            token += run
            stored += run
        }
    }

    /// Reserves memory for `count` tokens, up to the window.
    private func reserve(_ count: Int, like new: [Tensor]) {
        let wanted = min(count, window ?? .max)
        guard tensors.isEmpty || capacity < wanted else { return }
        while capacity < wanted { capacity = min(capacity * 2, window ?? .max) }
        let old = tensors
        tensors = new.map { tensor in
            var shape = tensor.shape
            shape[dimension] = capacity
            return Tensor(uninitialized: shape, tensor.elementType, on: tensor.engine)
        }
        guard kept > 0 else { return }
        for (old, tensor) in zip(old, tensors) { tensor.engine.copy(part(old), into: part(tensor)) }
    }
}

extension Tensor {
    /// The same values in memory of their own.
    func copied() -> Tensor {
        let copy = Tensor(uninitialized: shape, elementType, on: engine)
        engine.copy(detached, into: copy)
        return copy
    }
}
