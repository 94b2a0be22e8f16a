import CTensorKernels

/// Tensors of one shape as nested loops over their elements, as few loops as the strides allow.
///
/// The order is that of the first tensor's memory, so that the innermost loop runs along what is written.
struct Loops {
    private(set) var sizes: [Int] = []
    private var strides: [[Int]]

    init(_ tensors: [Tensor]) {
        self.init(sizes: tensors[0].shape, strides: tensors.map(\.strides))
    }

    /// - Parameters:
    ///   - all: The sizes.
    ///   - operands: For each operand, a stride for each size.
    ///   - keepsOrder: Whether elements come in row-major order, not in that of the first operand's memory.
    init(sizes all: [Int], strides operands: [[Int]], keepsOrder: Bool = false) {
        strides = operands.map { _ in [] }
        var order = all.indices.filter { all[$0] != 1 }
        if !keepsOrder { order.sort { (abs(operands[0][$0]), $1) > (abs(operands[0][$1]), $0) } }
        for dimension in order {
            let size = all[dimension]
            let last = sizes.count - 1
            if last >= 0, operands.indices.allSatisfy({ strides[$0][last] == operands[$0][dimension] * size }) {
                sizes[last] *= size
                for operand in operands.indices { strides[operand][last] = operands[operand][dimension] }
            } else {
                sizes.append(size)
                for operand in operands.indices { strides[operand].append(operands[operand][dimension]) }
            }
        }
        if sizes.isEmpty {
            sizes = [1]
            for operand in operands.indices { strides[operand] = [1] }
        }
        if sizes.count > Int(CTK_MAX_RANK) {
            Tensor.fail("Loops", "\(all) has more dimensions than the \(CTK_MAX_RANK) that kernels walk")
        }
    }

    var count: Int { sizes.reduce(1, *) }

    /// The loops as the C kernels take them, for as long as `body` runs.
    func withKernelLoops(_ body: (UnsafePointer<ctk_loops>) -> Void) {
        sizes.withUnsafeBufferPointer { sizes in
            strides.flatMap { $0 }.withUnsafeBufferPointer { strides in
                var loops = ctk_loops(rank: sizes.count, sizes: sizes.baseAddress, strides: strides.baseAddress)
                withUnsafePointer(to: &loops, body)
            }
        }
    }
}
