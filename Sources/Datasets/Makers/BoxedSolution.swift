/// A solution in LaTeX whose results are in `\boxed{…}`, of which the last one is the answer.
struct BoxedSolution {
    private let scalars: [Unicode.Scalar]
    private static let marker = Array("\\boxed{".unicodeScalars)

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    /// The text before the answer, with the braces of earlier results removed; all of it without a complete last `\boxed{…}`.
    ///
    /// White space at its end is removed, and a dollar sign that opens the answer's formula.
    var reasoning: String {
        var end = scalars.count
        if let last = starts.last, closingBrace(of: last) != nil {
            end = trimmed(last)
            if end > 0, scalars[end - 1] == "$" { end -= 1 }
        }
        return unboxed(upTo: trimmed(end))
    }

    /// Where `\boxed{` begins.
    private var starts: [Int] {
        guard scalars.count >= Self.marker.count else { return [] }
        return (0...scalars.count - Self.marker.count).filter { start in
            scalars[start] == "\\" && scalars[start..<start + Self.marker.count].elementsEqual(Self.marker)
        }
    }

    /// The brace that closes a result before a position; nil where none does.
    private func closingBrace(of start: Int, before end: Int? = nil) -> Int? {
        var depth = 1
        for index in start + Self.marker.count..<max(start + Self.marker.count, end ?? scalars.count) {
            if scalars[index] == "{" { depth += 1 } else if scalars[index] == "}" { depth -= 1 }
            if depth == 0 { return index }
        }
        return nil
    }

    /// A position without the white space before it.
    private func trimmed(_ end: Int) -> Int {
        var end = end
        while end > 0, Self.isSpace(scalars[end - 1]) { end -= 1 }
        return end
    }

    /// White space as Python has it, which includes four separators.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    /// The text up to a position with the content of each result in its place, up to the first that is not closed.
    private func unboxed(upTo end: Int) -> String {
        var result = String.UnicodeScalarView()
        var position = 0
        for start in starts where start >= position && start + Self.marker.count <= end {
            guard let brace = closingBrace(of: start, before: end) else { break }
            result.append(contentsOf: scalars[position..<start])
            result.append(contentsOf: scalars[start + Self.marker.count..<brace])
            position = brace + 1
        }
        result.append(contentsOf: scalars[position..<end])
        return String(result)
    }
}
