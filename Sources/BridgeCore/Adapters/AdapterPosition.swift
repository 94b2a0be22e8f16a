import TensorRuntime

/// The parts that a rank has of the parameters of a layer's adapter, which follow from its part of the layer's weight.
///
/// A is divided where the weight's columns are, B and the magnitude where its rows are. What is not divided is the same on
/// all ranks, each of which computes a part of its gradient.
struct AdapterPosition {
    /// The size of the layer's whole input.
    let width: Int
    /// The position of A; nil for all of it.
    let input: ParameterShard?
    /// The position of B.
    let output: ParameterShard?
    /// The position of the magnitude.
    let magnitude: ParameterShard?
    let inputReduction: GradientReduction?
    let outputReduction: GradientReduction?
    /// The ranks over which the weight's columns are divided.
    let columnGroup: (any ProcessGroup)?

    init(_ layer: Linear, rank: Int) {
        let weight = layer.weight
        guard let shard = weight.shard else {
            (width, input, output, magnitude) = (weight.tensor.shape[1], nil, nil, nil)
            (inputReduction, outputReduction, columnGroup) = (nil, nil, nil)
            return
        }
        let (height, width) = (shard.shape[0], shard.shape[1])
        self.width = width
        func part(_ shape: [Int], _ rows: Range<Int>, _ columns: Range<Int>, isOwner: Bool) -> ParameterShard {
            ParameterShard(shape: shape, rows: rows, columns: columns, isOwner: isOwner)
        }
        switch layer.input {
        case .divided(let group):
            input = part([rank, width], 0..<rank, shard.columns, isOwner: true)
            output = part([height, rank], 0..<height, 0..<rank, isOwner: group.rank == 0)
            magnitude = part([height], 0..<height, 0..<1, isOwner: group.rank == 0)
            inputReduction = nil
            outputReduction = group.size > 1 ? GradientReduction(over: group) : nil
            columnGroup = group
        case .copied(let group):
            input = part([rank, width], 0..<rank, 0..<width, isOwner: group.rank == 0)
            output = part([height, rank], shard.rows, 0..<rank, isOwner: shard.isOwner)
            magnitude = part([height], shard.rows, 0..<1, isOwner: shard.isOwner)
            inputReduction = group.size > 1 ? GradientReduction(over: group) : nil
            outputReduction = weight.gradientReduction
            columnGroup = nil
        case .whole:
            input = part([rank, width], 0..<rank, 0..<width, isOwner: shard.isOwner)
            output = part([height, rank], 0..<height, 0..<rank, isOwner: shard.isOwner)
            magnitude = part([height], 0..<height, 0..<1, isOwner: shard.isOwner)
            (inputReduction, outputReduction, columnGroup) = (nil, nil, nil)
        }
    }
}
