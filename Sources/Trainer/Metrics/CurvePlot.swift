import Glibc

/// A curve as inline SVG: a line, marks on it, axes with round numbers.
struct CurvePlot {
    struct Point: Equatable {
        var x: Double
        var y: Double
    }

    private static let width = 500.0
    private static let height = 260.0
    private static let left = 62.0
    private static let right = 14.0
    private static let top = 10.0
    private static let bottom = 26.0
    /// More points than pixels would only make the page larger.
    private static let maximumPoints = 1000

    let title: String
    let unit: String
    let line: [Point]
    /// Curves of few points, which are marked.
    var series: [Series] = []

    /// A curve with a name.
    struct Series {
        let name: String
        let points: [Point]
    }

    /// The number of colours of series.
    private static let colorCount = 5

    /// A figure; without values, one with a note.
    var svg: String {
        let line = Self.thinned(line.filter { $0.y.isFinite })
        let series = series.map { Series(name: $0.name, points: Self.thinned($0.points.filter { $0.y.isFinite })) }
            .filter { !$0.points.isEmpty }
        let keys = series.enumerated().map { index, series in
            " <span class=\"\(Self.name("key", index))\">\u{25CF} \(HTMLReport.escaped(series.name))</span>"
        }
        let caption = "<figcaption>\(title) <span>\(unit)</span>\(keys.joined())</figcaption>"
        let all = line + series.flatMap(\.points)
        guard let first = all.first else { return "<figure>\(caption)<p>No finite value was recorded.</p></figure>" }
        let x = Self.ticks(all.reduce(first.x) { min($0, $1.x) }, all.reduce(first.x) { max($0, $1.x) }, whole: true)
        let y = Self.ticks(all.reduce(first.y) { min($0, $1.y) }, all.reduce(first.y) { max($0, $1.y) }, whole: false)
        func location(_ point: Point) -> (String, String) {
            let across = (point.x - x.low) / (x.high - x.low)
            let up = (point.y - y.low) / (y.high - y.low)
            return (
                Self.text(Self.left + across * (Self.width - Self.left - Self.right)),
                Self.text(Self.height - Self.bottom - up * (Self.height - Self.top - Self.bottom))
            )
        }
        var body = ""
        for tick in y.values {
            let (_, height) = location(Point(x: x.low, y: tick))
            body +=
                "<path class=\"grid\" d=\"M\(Self.text(Self.left)) \(height)H\(Self.text(Self.width - Self.right))\"/>"
            body += "<text x=\"\(Self.text(Self.left - 8))\" y=\"\(height)\" dy=\"4\" text-anchor=\"end\">"
            body += CFormat.text("%.6g</text>", abs(tick) < (y.high - y.low) * 1e-9 ? 0 : tick)
        }
        for tick in x.values {
            let (across, _) = location(Point(x: tick, y: y.low))
            body += "<text x=\"\(across)\" y=\"\(Self.text(Self.height - 8))\" text-anchor=\"middle\">"
            body += CFormat.text("%.6g</text>", tick)
        }
        body += curve(line.map(location), path: "line", dot: "dot", dots: line.count == 1)
        for (index, series) in series.enumerated() {
            let (path, dot) = (Self.name("marks", index), Self.name("mark", index))
            body += curve(series.points.map(location), path: path, dot: dot, dots: series.points.count <= 60)
        }
        let box = "0 0 \(Int(Self.width)) \(Int(Self.height))"
        return "<figure>\(caption)<svg viewBox=\"\(box)\" role=\"img\" aria-label=\"\(title)\">\(body)</svg></figure>"
    }

    /// The class of a part of a series, with that of its colour.
    private static func name(_ part: String, _ index: Int) -> String {
        index == 0 ? part : "\(part) s\(index % colorCount)"
    }

    private func curve(_ points: [(String, String)], path: String, dot: String, dots: Bool) -> String {
        guard !points.isEmpty else { return "" }
        var text = "<path class=\"\(path)\" d=\"M" + points.map { "\($0.0) \($0.1)" }.joined(separator: "L") + "\"/>"
        if dots {
            for location in points {
                text += "<circle class=\"\(dot)\" cx=\"\(location.0)\" cy=\"\(location.1)\" r=\"3\"/>"
            }
        }
        return text
    }

    private static func text(_ value: Double) -> String { CFormat.text("%.1f", value) }

    /// Means over neighbouring steps, at most one per point of the page.
    static func thinned(_ points: [Point]) -> [Point] { thinned(points, to: maximumPoints) }

    /// Means over neighbouring steps, at most a number of them.
    static func thinned(_ points: [Point], to most: Int) -> [Point] {
        let size = (points.count + most - 1) / most
        guard size > 1 else { return points }
        return stride(from: 0, to: points.count, by: size).map { start in
            let part = points[start..<min(start + size, points.count)]
            let count = Double(part.count)
            return Point(x: part.reduce(0) { $0 + $1.x } / count, y: part.reduce(0) { $0 + $1.y / count })
        }
    }

    /// An axis around two values: its ends, and round numbers between them.
    static func ticks(_ least: Double, _ most: Double, whole: Bool) -> (low: Double, high: Double, values: [Double]) {
        // If the difference of the ends is not finite, the axis falls back to a finite range.
        var (low, high) = (max(least, -1e300), min(most, 1e300))
        if !(high - low > max(max(abs(high), abs(low)) * 1e-9, 1e-290)) {
            let half = max(abs(high) * 0.1, whole ? 1 : 1e-12)
            (low, high) = (low - half, high + half)
        }
        let rough = (high - low) / 5
        let power = pow(10, floor(log10(rough)))
        let step = max([1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough, whole ? 1 : 0)
        if !whole { (low, high) = (floor(low / step) * step, ceil(high / step) * step) }
        let first = ceil(low / step - 1e-9)
        let count = Int(min(max((high - first * step) / step + 1e-9, 0), 20))
        return (low, high, (0...count).map { (first + Double($0)) * step })
    }
}
