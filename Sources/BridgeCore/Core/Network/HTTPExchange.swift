/// A request of HTTP to one address.
struct HTTPRequest {
    /// What a request carries along.
    enum Body {
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
    var address: String
    var headers: [(name: String, value: String)] = []
    var body: Body?
}

extension HTTPRequest {
    /// A request for some bytes of what is at an address.
    init(address: String, range: Range<Int>) {
        self.init(address: address)
        headers.append(("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)"))
    }
}

/// The head of an answer.
struct HTTPAnswer: Sendable {
    /// The status, such as 200.
    var status = 0
    /// The headers, their names in small letters.
    var headers: [String: String] = [:]

    /// The value of a header.
    subscript(name: String) -> String? { headers[name.lowercased()] }

    /// Takes in a line of the head.
    mutating func take(_ line: String) {
        let line = line.trimmed
        if line.hasPrefix("HTTP/") {
            // The last answer counts; those before it said "go on".
            self = HTTPAnswer(status: Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0)
        } else if let colon = line.firstIndex(of: ":") {
            headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...]).trimmed
        }
    }

    /// Which bytes of how many the answer brings, as `Content-Range: bytes 0-99/1000` says; nil where it does not.
    ///
    /// The size is nil when the server does not know it.
    var contentRange: (range: Range<Int>, size: Int?)? {
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

    /// Where the answer points to, as a whole address; nil when it points nowhere.
    func redirect(from address: String) -> String? {
        guard [301, 302, 303, 307, 308].contains(status), let place = self["location"], !place.isEmpty else {
            return nil
        }
        return WebAddress.resolve(place, against: address)
    }
}

/// Why there is no answer, or not a whole one.
struct HTTPFailure: Error {
    enum Kind {
        case badAddress
        case unreachable
        case proxy
        case certificate
        case timeout
        case cut
        case other
    }

    var kind: Kind
    /// What the library says.
    var reason: String

    /// Whether the same request may go well a moment later.
    var isPassing: Bool { [.unreachable, .timeout, .cut, .other].contains(kind) }
}

/// The parts of web addresses.
enum WebAddress {
    /// Scheme, host and port: what a secret is meant for.
    static func origin(of address: String) -> String {
        guard let scheme = address.firstRange(of: "://") else { return "" }
        let rest = address[scheme.upperBound...].prefix { !"/?#".contains($0) }
        // A name and password before the host are no part of it.
        let host = rest.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        let name = address[..<scheme.lowerBound].lowercased()
        let usual = name == "https" ? ":443" : ":80"
        let plain = host.lowercased()
        return name + "://" + (plain.hasSuffix(usual) ? String(plain.dropLast(usual.count)) : plain)
    }

    /// The address without what stands behind `?` or `#`, which may be secret, and without name and password.
    static func shown(_ address: String) -> String {
        let path = address.prefix { $0 != "?" && $0 != "#" }
        guard let scheme = path.firstRange(of: "://") else { return String(path) }
        let rest = path[scheme.upperBound...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let host = rest[..<slash].split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        return String(path[..<scheme.upperBound]) + host + rest[slash...]
    }

    /// The address that a redirect names, which may be a path alone.
    static func resolve(_ place: String, against address: String) -> String {
        if place.firstRange(of: "://") != nil { return place }
        let scheme = address.prefix { $0 != ":" }
        if place.hasPrefix("//") { return scheme + ":" + place }
        if place.hasPrefix("/") {
            guard let start = address.firstRange(of: "://") else { return place }
            let host = address[start.upperBound...].prefix { !"/?#".contains($0) }
            return scheme + "://" + host + place
        }
        let path = address.prefix { $0 != "?" && $0 != "#" }
        return path[...(path.lastIndex(of: "/") ?? path.startIndex)] + place
    }

    /// A text with percent signs and digits replaced by what they stand for; those that stand for nothing stay.
    static func unescaped(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A text with everything but letters, digits and `keeping` as percent signs and digits.
    static func escaped(_ text: String, keeping: String = "") -> String {
        let kept = Set("-._~\(keeping)".utf8)
        let digits = Array("0123456789ABCDEF")
        return String(
            text.utf8.flatMap { byte -> [Character] in
                let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                return isPlain || kept.contains(byte)
                    ? [Character(UnicodeScalar(byte))] : ["%", digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        )
    }
}

extension StringProtocol {
    /// The text without white space at its ends.
    var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
