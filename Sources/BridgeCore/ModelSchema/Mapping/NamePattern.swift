/// A parameter name in which `*` matches a number between two dots and `**` any path.
///
/// `decoder.layers.*.mlp.linear_fc1.weight` is the fc1 weight of every layer, `vision_tower.**` everything below the
/// vision tower.
public struct NamePattern: Sendable, Hashable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// The pattern's text.
    public let description: String

    private let pieces: [Piece]

    private enum Piece: Sendable, Hashable {
        case text(String)
        case number
        case path
    }

    /// A pattern.
    public init(_ text: String) {
        description = text
        var pieces: [Piece] = []
        var rest = Substring(text)
        while let star = rest.firstIndex(of: "*") {
            if star != rest.startIndex { pieces.append(.text(String(rest[..<star]))) }
            rest = rest[star...].dropFirst()
            if rest.first == "*" {
                rest = rest.dropFirst()
                pieces.append(.path)
            } else {
                pieces.append(.number)
            }
        }
        if !rest.isEmpty { pieces.append(.text(String(rest))) }
        self.pieces = pieces
    }

    /// A pattern.
    public init(stringLiteral value: String) { self.init(value) }

    /// The number of wildcards.
    public var wildcardCount: Int { pieces.count { if case .text = $0 { false } else { true } } }

    /// Whether one of the wildcards is `**`.
    public var holdsPath: Bool { pieces.contains(.path) }

    /// The texts that the wildcards match in a name, in order; nil when the name does not match.
    public func match(_ name: String) -> [String]? { Self.match(pieces[...], name[...]) }

    /// The name with the given texts instead of the wildcards, in order.
    public func filled(with captures: [String]) -> String {
        var captures = captures[...]
        return pieces.map { piece in
            if case .text(let text) = piece { text } else { captures.popFirst() ?? "*" }
        }.joined()
    }

    private static func match(_ pieces: ArraySlice<Piece>, _ name: Substring) -> [String]? {
        guard let piece = pieces.first else { return name.isEmpty ? [] : nil }
        switch piece {
        case .text(let text):
            return name.hasPrefix(text) ? match(pieces.dropFirst(), name.dropFirst(text.count)) : nil
        case .number:
            let digits = name.prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty, let rest = match(pieces.dropFirst(), name.dropFirst(digits.count)) else {
                return nil
            }
            return [String(digits)] + rest
        case .path:
            // Shortest first, so that the text after `**` in the pattern is found at its first position.
            for length in 0...name.count {
                if let rest = match(pieces.dropFirst(), name.dropFirst(length)) {
                    return [String(name.prefix(length))] + rest
                }
            }
            return nil
        }
    }
}

/// A pattern as users write it on the command line: `*` matches any characters, also dots.
public struct NameGlob: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The pattern's text.
    public let description: String

    /// A pattern.
    public init(_ text: String) { description = text }

    /// Whether the whole name fits.
    public func matches(_ name: String) -> Bool {
        let pattern = Array(description.utf8)
        let text = Array(name.utf8)
        // The standard linear matcher: store the last star and the length that it matches.
        var (p, t) = (0, 0)
        var (star, mark) = (-1, 0)
        while t < text.count {
            if p < pattern.count, pattern[p] == text[t] || pattern[p] == UInt8(ascii: "?"),
                pattern[p] != UInt8(ascii: "*")
            {
                p += 1
                t += 1
            } else if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = p
                mark = t
                p += 1
            } else if star >= 0 {
                p = star + 1
                mark += 1
                t = mark
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
