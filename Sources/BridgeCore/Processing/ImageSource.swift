public import BridgeSupport
public import Imaging
import Tokenizers

/// The source of an image.
public enum ImageSource: Sendable, Equatable {
    /// A file.
    case file(String)
    /// An address on the network, `http` or `https`.
    case url(String)
    /// The bytes of a file, with a name for messages.
    case bytes([UInt8], name: String)
    /// An image that is already in memory.
    case image(Image)

    /// The longest that a download may take.
    public static let longestDownload = 60.0

    /// A source as people write it: a path, an `http://` or `https://` address, or a `data:` URL with base64.
    ///
    /// - Throws: `BridgeError` for an empty text, another scheme, and a `data:` URL that holds no base64.
    public init(_ text: String) throws {
        guard !text.isEmpty, !text.utf8.contains(0) else {
            throw BridgeError(.badArgument, "an image needs a path, a URL or a data: URL, and there is none")
        }
        let scheme = text.prefix { $0 != ":" }.lowercased()
        if ["http", "https"].contains(scheme), text.dropFirst(scheme.count).hasPrefix("://") {
            self = .url(text)
        } else if scheme == "data", text.dropFirst(scheme.count).hasPrefix(":") {
            self = try Self.data(text)
        } else if text.dropFirst(scheme.count).hasPrefix("://"), !Files.exists(text) {
            throw BridgeError(
                .badArgument,
                "\(text) has the scheme \(scheme); an image is a path, an http:// or https:// address, or a data: URL"
            )
        } else {
            self = .file(text)
        }
    }

    /// The bytes of a file in base64.
    ///
    /// - Throws: `BridgeError` when the text is something else.
    public init(base64 text: String, name: String) throws {
        let whitespace = Set("\n\r\t ".utf8)
        guard let bytes = Base64.decode(text.utf8.filter { !whitespace.contains($0) }) else {
            throw BridgeError(.corruptInput, "\(name) is not base64")
        }
        self = .bytes(bytes, name: name)
    }

    private static func data(_ text: String) throws -> ImageSource {
        let name = "the data: URL \(text.prefix(30))…"
        guard let comma = text.firstIndex(of: ","), text[..<comma].lowercased().hasSuffix(";base64") else {
            throw BridgeError(
                .corruptInput,
                "\(name) is not of the form data:image/png;base64,…; images are read from base64 only"
            )
        }
        return try ImageSource(base64: String(text[text.index(after: comma)...]), name: name)
    }

    /// The image, upright and without alpha.
    ///
    /// As in transformers an image given by path, URL or base64 loses its alpha channel (`load_image` converts it), and
    /// one given as an object is composited on white (the Pillow processors do that); so is a transparent colour of a
    /// file, which `load_image` keeps.
    ///
    /// - Parameters:
    ///   - limits: How large the file and the image may be.
    ///   - cancellation: Stops a download.
    /// - Returns: RGB.
    /// - Throws: `BridgeError` when the bytes cannot be read, and `ImageError` for bytes that are not an image.
    public func load(limits: ImageLimits = .standard, cancellation: Cancellation = Cancellation()) throws -> Image {
        switch self {
        case .file(let path):
            return try Image(loading: Files.contents(of: path, limit: limits.bytes), limits: limits)
        case .url(let url):
            let bytes = try Download(url: url, mostBytes: limits.bytes, seconds: Self.longestDownload)
                .bytes(cancellation: cancellation)
            return try Image(loading: bytes, limits: limits)
        case .bytes(let bytes, _): return try Image(loading: bytes, limits: limits)
        case .image(let image): return image.compositedOnWhite
        }
    }
}

extension ImageSource: CustomStringConvertible {
    /// A few words for messages.
    public var description: String {
        switch self {
        case .file(let path): path
        case .url(let url): url
        case .bytes(_, let name): name
        case .image(let image): "an image of \(image.width)x\(image.height) pixels"
        }
    }
}
