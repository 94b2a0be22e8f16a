/// Why some bytes are not the JSON that is accepted here.
public struct JSONError: Error, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let message: String
    /// The byte at which it was seen, counted from 0.
    public let offset: Int

    package init(_ message: String, at offset: Int) {
        self.message = message
        self.offset = offset
    }

    /// The message and the place in one clause.
    public var description: String { "\(message) at byte \(offset)" }
}
