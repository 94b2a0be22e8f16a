/// A problem of an image, or of a request for one: one sentence for the user.
public struct ImageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure, for a caller that reacts to it.
    public enum Code: String, Sendable {
        /// There are no bytes, or no pixels.
        case empty
        /// The bytes are none of the formats that are read.
        case unknownFormat
        /// The bytes end before the image does.
        case truncated
        /// The bytes do not match the format.
        case broken
        /// The image is sound and of a kind that is not read.
        case unsupported
        /// The file or the image is larger than the limits allow.
        case tooLarge
        /// A size, a part of the image or a number of channels that the operation cannot work with.
        case badRequest
    }

    /// The kind of failure.
    public var code: Code
    /// What was found, what was expected and what to do.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    public var description: String { message }
}
