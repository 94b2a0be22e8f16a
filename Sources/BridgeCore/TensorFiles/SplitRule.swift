import TensorRuntime

/// The split of a parameter across the ranks of the tensor axis, in Megatron-Core's terms.
public enum SplitRule: String, Sendable, Codable, CaseIterable {
    /// Every rank needs all of it; a checkpoint stores it once, with the first rank.
    case replicated
    /// The output features are divided: rank i takes the i-th part of the rows (`ColumnParallelLinear`).
    case column
    /// The input features are divided: rank i takes the i-th part of the columns (`RowParallelLinear`).
    case row
    /// Like `column`, of a vocabulary: zero rows are added at the end where it does not divide evenly.
    case vocabulary
    /// Gate above up, each divided on its own: rank i holds `[gate_i; up_i]`.
    case gatedColumn = "gated_column"
}

/// The part of a parameter that one rank holds.
package struct RankSlice: Sendable {
    /// The rank on the tensor axis.
    package var tensorRank: Int
    /// Its content.
    package var view: TensorView
    /// Its position in the whole parameter.
    package var positions: [Place]

    /// A rectangle with its position in the rank's tensor and its position in the whole parameter.
    package struct Place: Sendable, Equatable {
        package var localRow: Int
        package var localColumn: Int
        package var globalRow: Int
        package var globalColumn: Int
        package var height: Int
        package var width: Int
    }
}

extension SplitRule {
    /// The parts of a parameter, one for each rank that stores some of it.
    ///
    /// - Parameters:
    ///   - view: The whole parameter, which has no ``obstacle(to:parts:tensorSize:)``.
    ///   - parts: How many parts its rows have that stay together: KV groups with their queries. More ranks than these share a
    ///     part, which the first of them stores.
    ///   - tensorSize: How many ranks there are.
    ///   - paddedHeight: How many rows a vocabulary has with its padding.
    /// - Returns: The parts, by rank.
    package func slices(
        of view: TensorView,
        parts: Int? = nil,
        tensorSize: Int,
        paddedHeight: Int? = nil
    ) -> [RankSlice] {
        let height = view.height
        switch self {
        case .replicated:
            return [RankSlice(tensorRank: 0, view: view, positions: [.rows(0, at: 0, height, view.width)])]
        case .column:
            let count = parts.map { min($0, tensorSize) } ?? tensorSize
            let part = height / count
            return (0..<count).map { rank in
                RankSlice(
                    tensorRank: rank * (tensorSize / count),
                    view: view.rows(rank * part..<(rank + 1) * part),
                    positions: [.rows(0, at: rank * part, part, view.width)]
                )
            }
        case .vocabulary:
            let padded = paddedHeight ?? height
            let part = padded / tensorSize
            let whole = view.padded(toHeight: padded)
            return (0..<tensorSize).map { rank in
                let real = max(0, min(part, height - rank * part))
                return RankSlice(
                    tensorRank: rank,
                    view: whole.rows(rank * part..<(rank + 1) * part),
                    positions: real > 0 ? [.rows(0, at: rank * part, real, view.width)] : []
                )
            }
        case .row:
            let part = view.width / tensorSize
            return (0..<tensorSize).map { rank in
                let position = RankSlice.Place(
                    localRow: 0,
                    localColumn: 0,
                    globalRow: 0,
                    globalColumn: rank * part,
                    height: height,
                    width: part
                )
                let columns = tensorSize == 1 ? view : view.columns(rank * part..<(rank + 1) * part)
                return RankSlice(tensorRank: rank, view: columns, positions: [position])
            }
        case .gatedColumn:
            let half = height / 2
            let part = half / tensorSize
            return (0..<tensorSize).map { rank in
                let gate = rank * part..<(rank + 1) * part
                let up = half + gate.lowerBound..<half + gate.upperBound
                return RankSlice(
                    tensorRank: rank,
                    view: .concatenate(rows: [view.rows(gate), view.rows(up)]),
                    positions: [
                        .rows(0, at: gate.lowerBound, part, view.width),
                        .rows(part, at: up.lowerBound, part, view.width),
                    ]
                )
            }
        }
    }

    /// The reason why a parameter cannot be divided, or nil.
    package func obstacle(to shape: [Int], parts: Int?, tensorSize: Int) -> String? {
        if let parts, parts % tensorSize != 0 {
            return parts < tensorSize && tensorSize % parts == 0 ? nil : "its \(parts) KV groups"
        }
        let height = shape.first ?? 1
        let width = shape.dropFirst().reduce(1, *)
        switch self {
        case .replicated, .vocabulary: return nil
        case .column: return height % tensorSize == 0 ? nil : "its \(height) rows"
        case .row: return shape.count == 2 && width % tensorSize == 0 ? nil : "its \(width) columns"
        case .gatedColumn: return height % (2 * tensorSize) == 0 ? nil : "its 2 x \(height / 2) rows"
        }
    }
}

extension RankSlice.Place {
    fileprivate static func rows(_ local: Int, at global: Int, _ height: Int, _ width: Int) -> Self {
        Self(localRow: local, localColumn: 0, globalRow: global, globalColumn: 0, height: height, width: width)
    }
}
