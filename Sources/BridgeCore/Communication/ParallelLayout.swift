/// The sizes of the parallel axes of a run, and the rank at each position.
///
/// Ranks are counted along the tensor axis first, then context, data and pipeline: Megatron-Core's order tp-cp-dp-pp
/// (`megatron/core/parallel_state.py`, `order="tp-cp-ep-dp-pp"`, 0.20).
public struct ParallelLayout: Sendable, Hashable {
    /// An axis.
    public enum Axis: Int, Sendable, CaseIterable {
        case tensor, context, data, pipeline

        /// The name in messages, such as `tensor-parallel`.
        public var name: String {
            switch self {
            case .tensor: "tensor-parallel"
            case .context: "context-parallel"
            case .data: "data-parallel"
            case .pipeline: "pipeline-parallel"
            }
        }
    }

    /// The number of ranks that share each matrix.
    public var tensor: Int
    /// The number of ranks that share each sequence.
    public var context: Int
    /// The number of copies of the model, each with its own samples.
    public var data: Int
    /// The number of pipeline stages.
    public var pipeline: Int

    /// A layout.
    public init(tensor: Int = 1, context: Int = 1, data: Int = 1, pipeline: Int = 1) {
        self.tensor = tensor
        self.context = context
        self.data = data
        self.pipeline = pipeline
    }

    /// The number of ranks.
    public var rankCount: Int { tensor * context * data * pipeline }

    /// The size of an axis.
    public func size(of axis: Axis) -> Int {
        switch axis {
        case .tensor: tensor
        case .context: context
        case .data: data
        case .pipeline: pipeline
        }
    }

    /// The distance between neighbours along an axis.
    private func stride(of axis: Axis) -> Int {
        Axis.allCases.prefix(axis.rawValue).reduce(1) { $0 * size(of: $1) }
    }

    /// The position of a rank along an axis.
    public func position(of rank: Int, along axis: Axis) -> Int { rank / stride(of: axis) % size(of: axis) }

    /// The ranks that differ from a rank only in their positions along some axes, in ascending order.
    public func ranks(with rank: Int, along axes: [Axis]) -> [Int] {
        // Strides grow from axis to axis, so the outer ones are the last.
        Axis.allCases.filter(axes.contains).reduce([rank]) { ranks, axis in
            let (stride, size) = (stride(of: axis), size(of: axis))
            let first = ranks.map { $0 - position(of: $0, along: axis) * stride }
            return (0..<size).flatMap { position in first.map { $0 + position * stride } }
        }
    }
}

extension ParallelLayout: CustomStringConvertible {
    /// For example `TP 2 x PP 2 x DP 1 x CP 1`.
    public var description: String { "TP \(tensor) x PP \(pipeline) x DP \(data) x CP \(context)" }
}
