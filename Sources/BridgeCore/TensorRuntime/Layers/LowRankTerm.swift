/// What an adapter adds to a product `x W^T`: `scale (x A^T) B^T`.
struct LowRankTerm {
    /// A, [r, k].
    var down: Tensor
    /// B, [n, r].
    var up: Tensor
    /// The scale.
    var scale: Float
}

/// The terms of several weights in one forward pass, and the products `scale x A^T` that the backward pass needs again.
///
/// Terms with one A share its product.
struct LowRankProducts {
    private let terms: [LowRankTerm?]
    /// Each A once, and the terms with it.
    private let groups: [(down: Tensor, members: [Int], scale: Float)]
    /// `scale x A^T` of each, [m, r].
    private let lows: [Tensor]

    /// Multiplies `rows` [m, k].
    init(of rows: Tensor, _ terms: [LowRankTerm?]) {
        self.terms = terms
        var groups: [(down: Tensor, members: [Int], scale: Float)] = []
        for (index, term) in terms.enumerated() {
            guard let term else { continue }
            if let known = groups.firstIndex(where: { $0.down.storage === term.down.storage && $0.scale == term.scale })
            {
                groups[known].members.append(index)
            } else {
                groups.append((term.down, [index], term.scale))
            }
        }
        self.groups = groups
        let products = groups.map { rows.makeTensor([rows.shape[0], $0.down.shape[0]]) }
        if !groups.isEmpty { rows.engine.project(rows, groups.map(\.down.detached.withUnitStride), into: products) }
        lows = zip(groups, products).map { $0.scale == 1 ? $1 : $1 * $0.scale }
    }

    /// Each A, and then the B of each term.
    var parameters: [Tensor] { groups.map(\.down) + terms.compactMap { $0?.up } }

    /// `x W^T` with the term.
    func multiply(_ rows: Tensor, _ weight: Tensor, at index: Int, into out: Tensor) {
        guard let (up, low) = up(at: index) else { return rows.engine.project(rows, [weight], into: [out]) }
        let matrices = [weight.transposed(), up.detached.transposed().withUnitStride]
        rows.engine.multiplySum([rows, low], matrices, into: out)
    }

    /// The gradients of the products `x A^T`, for those of some results: [m, r] for each A that takes part, with A.
    func gradients(_ results: [(index: Int, gradient: Tensor)]) -> [(gradient: Tensor, down: Tensor)] {
        groups.indices.compactMap { number in
            let parts = results.filter { groups[number].members.contains($0.index) }
            guard let first = parts.first?.gradient else { return nil }
            let sum = first.makeTensor(lows[number].shape)
            first.engine.multiplySum(
                parts.map(\.gradient),
                parts.compactMap { terms[$0.index]?.up.detached.withUnitStride },
                into: sum
            )
            let scale = groups[number].scale
            return (scale == 1 ? sum : sum * scale, groups[number].down)
        }
    }

    /// B of a weight's term, and the product that it multiplies; nil without a term.
    func up(at index: Int) -> (up: Tensor, product: Tensor)? {
        guard index < terms.count, let term = terms[index],
            let group = groups.firstIndex(where: { $0.members.contains(index) })
        else { return nil }
        return (term.up, lows[group])
    }
}
