/// A JSON number, kept as the text it was written with.
public struct JSONNumber: Sendable, Hashable {
    /// The number as it is written in the file, for instance `1e-05`.
    public let text: String

    /// An integer.
    public init(_ value: Int) { text = String(value) }

    /// A double, written with the fewest digits that give the same double back.
    ///
    /// JSON has no text for a number that is not finite: it becomes the closest finite one, and NaN becomes 0.
    public init(_ value: Double) {
        if value.isNaN {
            text = "0.0"
        } else {
            let finite = min(max(value, -Double.greatestFiniteMagnitude), Double.greatestFiniteMagnitude)
            text = "\(finite)"
        }
    }

    package init(text: String) { self.text = text }

    /// The number as a double.
    public var double: Double { Double(text) ?? 0 }

    /// The number as an integer, or nil when it has a fraction or does not fit.
    public var integer: Int? { Int(text) ?? Int(exactly: double) }
}
