/// Curves of a run as text, in Braille characters: two points across and four up in each.
public struct TextPlot {
    private let width: Int
    private let height: Int

    /// The characters to the left of a curve, for its labels.
    private static let margin = 10

    /// A plot.
    ///
    /// - Parameters:
    ///   - width: The number of columns with the labels.
    ///   - height: The number of lines of the curve.
    public init(width: Int, height: Int) {
        (self.width, self.height) = (max(4, width - Self.margin), max(2, height))
    }

    /// The losses of steps as a line, those of validations as circles.
    ///
    /// - Returns: The lines from top to bottom; none without a finite value.
    public func lines(steps: [StepRecord], validations: [ValidationRecord]) -> [String] {
        let curve = steps.map { CurvePlot.Point(x: Double($0.iteration), y: $0.loss) }.filter { $0.y.isFinite }
        let marks = validations.map { CurvePlot.Point(x: Double($0.iteration), y: $0.loss) }.filter { $0.y.isFinite }
        let means = CurvePlot.thinned(curve, to: 2 * width)
        let all = means + marks
        guard let first = all.first else { return [] }
        let (left, right) = all.reduce((first.x, first.x)) { (min($0.0, $1.x), max($0.1, $1.x)) }
        let y = CurvePlot.ticks(
            all.reduce(first.y) { min($0, $1.y) },
            all.reduce(first.y) { max($0, $1.y) },
            whole: false
        )
        func dot(_ point: CurvePlot.Point) -> (column: Int, row: Int) {
            let across = right > left ? (point.x - left) / (right - left) : 0
            let up = y.high > y.low ? (point.y - y.low) / (y.high - y.low) : 0
            return (
                Int((across * Double(2 * width - 1)).rounded()),
                Int(((1 - min(max(up, 0), 1)) * Double(4 * height - 1)).rounded())
            )
        }
        var cells = [[UInt32]](repeating: [UInt32](repeating: 0, count: width), count: height)
        var last: (column: Int, row: Int)?
        for point in means.map(dot) {
            for step in Self.between(last ?? point, point) {
                cells[step.row / 4][step.column / 2] |= Self.bits[step.row % 4][step.column % 2]
            }
            last = point
        }
        var text = cells.map { row in row.map { $0 == 0 ? " " : Character(Unicode.Scalar(0x2800 + $0) ?? " ") } }
        for mark in marks.map(dot) { text[mark.row / 4][mark.column / 2] = "○" }
        // Fewer lines than labels have those of both ends.
        let labelled = y.values.count <= height ? y.values : [y.values.first, y.values.last].compactMap(\.self)
        let labels = Dictionary(
            labelled.map { (dot(CurvePlot.Point(x: left, y: $0)).row / 4, CFormat.text("%.4g", $0)) }
        ) { first, _ in first }
        let body = text.enumerated().map { index, row in
            let label = labels[index] ?? ""
            let pad = String(repeating: " ", count: max(0, Self.margin - 2 - label.count))
            return Self.trimmed(pad + label + (label.isEmpty ? " │" : " ┤") + String(row))
        }
        let (start, end) = (CFormat.text("%.0f", left), CFormat.text("%.0f", right))
        let gap = String(repeating: " ", count: max(1, width - start.count - end.count))
        return body + [String(repeating: " ", count: Self.margin) + start + (left == right ? "" : gap + end)]
    }

    /// The dots of a Braille character, by row and column.
    private static let bits: [[UInt32]] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]]

    /// The dots of a line between two.
    private static func between(
        _ one: (column: Int, row: Int),
        _ other: (column: Int, row: Int)
    ) -> [(column: Int, row: Int)] {
        let count = max(abs(other.column - one.column), abs(other.row - one.row), 1)
        return (0...count).map { index in
            let share = Double(index) / Double(count)
            return (
                one.column + Int((share * Double(other.column - one.column)).rounded()),
                one.row + Int((share * Double(other.row - one.row)).rounded())
            )
        }
    }

    private static func trimmed(_ text: String) -> String {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }
}
