/// The reason why some bytes are not accepted as JSON.
public struct JSONError: Error, Sendable, CustomStringConvertible {
    /// The problem.
    public let message: String
    /// The byte at which it was seen, counted from 0.
    public let offset: Int

    package init(_ message: String, at offset: Int) {
        self.message = message
        self.offset = offset
    }

    /// The message and the position in one clause.
    public var description: String { "\(message) at byte \(offset)" }
}
