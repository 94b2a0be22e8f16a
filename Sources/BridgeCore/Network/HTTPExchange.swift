package import BridgeSupport

/// A request of HTTP to one address.
package struct HTTPRequest {
    /// The body of a request.
    package enum Body {
        case bytes([UInt8])
        /// A stretch of a file.
        case file(FileStorage, Range<Int>)

        var count: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .file(_, let range): range.count
            }
        }
    }

    var method = "GET"
    package var address: String
    package var headers: [(name: String, value: String)] = []
    var body: Body?

    package init(
        method: String = "GET",
        address: String,
        headers: [(name: String, value: String)] = [],
        body: Body? = nil
    ) {
        self.method = method
        self.address = address
        self.headers = headers
        self.body = body
    }
}

extension HTTPRequest {
    /// A request for some bytes of what is at an address.
    package init(address: String, range: Range<Int>) {
        self.init(address: address)
        headers.append(("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)"))
    }
}

/// The head of an response.
package struct HTTPResponse: Sendable {
    /// The status, such as 200.
    package var status = 0
    /// The headers, their names in small letters.
    var headers: [String: String] = [:]

    /// The value of a header.
    package subscript(name: String) -> String? { headers[name.lowercased()] }

    /// Parses a line of the head.
    mutating func take(_ line: String) {
        let line = line.trimmed
        if line.hasPrefix("HTTP/") {
            // The last response counts; those before it are informational (1xx).
            self = HTTPResponse(status: Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0)
        } else if let colon = line.firstIndex(of: ":") {
            headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...]).trimmed
        }
    }

    /// The range and the size of the content, from `Content-Range: bytes 0-99/1000`; nil without the header.
    ///
    /// The size is nil when the server does not know it.
    package var contentRange: (range: Range<Int>, size: Int?)? {
        guard let text = self["content-range"], text.lowercased().hasPrefix("bytes ") else { return nil }
        let halves = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false).map(\.trimmed)
        let ends = halves.first?.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) } ?? []
        guard halves.count == 2, ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, last >= first,
            last < Int.max
        else { return nil }
        if halves[1] == "*" { return (first..<last + 1, nil) }
        guard let size = Int(halves[1]), size > last else { return nil }
        return (first..<last + 1, size)
    }

    /// Whether it is a redirect with a location.
    var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) && self["location"]?.isEmpty == false }

    /// The address of the redirect, resolved; nil without one.
    ///
    /// - Throws: `HTTPFailure` for an invalid location.
    func redirect(from address: String) throws -> String? {
        guard isRedirect, let place = self["location"] else { return nil }
        return try WebURL.resolve(place, against: address)
    }
}

/// Why there is no response, or not a whole one.
package struct HTTPFailure: Error {
    package enum Kind {
        case invalidURL
        /// From https:// to http://.
        case unencryptedRedirect
        case endlessRedirects
        case unreachable
        case proxy
        case certificate
        case timeout
        case cut
        case other
    }

    package var kind: Kind
    /// libcurl's message; for a redirect that is not followed, the address that it names.
    package var reason: String
    /// The last requested address.
    package var address = ""

    package init(kind: Kind, reason: String, address: String = "") {
        self.kind = kind
        self.reason = reason
        self.address = address
    }

    /// Whether the same request may go well a moment later.
    package var isTransient: Bool { [.unreachable, .timeout, .cut, .other].contains(kind) }
}

extension StringProtocol {
    /// The text without white space at its ends.
    package var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
