import CFetch

/// The parts of web addresses.
package enum WebURL {
    /// Scheme, host and port: what a secret is meant for.
    package static func origin(of address: String) -> String {
        guard let scheme = address.firstRange(of: "://") else { return "" }
        let rest = address[scheme.upperBound...].prefix { !"/?#".contains($0) }
        // A name and password before the host do not belong to it.
        let host = rest.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        let name = address[..<scheme.lowerBound].lowercased()
        let usual = name == "https" ? ":443" : ":80"
        let plain = host.lowercased()
        return name + "://" + (plain.hasSuffix(usual) ? String(plain.dropLast(usual.count)) : plain)
    }

    /// The address without query and fragment, which may be secret, and without name and password.
    package static func shown(_ address: String) -> String {
        let path = address.prefix { $0 != "?" && $0 != "#" }
        guard let scheme = path.firstRange(of: "://") else { return String(path) }
        let rest = path[scheme.upperBound...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let host = rest[..<slash].split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        return String(path[..<scheme.upperBound]) + host + rest[slash...]
    }

    /// The address that a redirect or a link names, which may be a part of one, as RFC 3986 resolves it.
    ///
    /// - Throws: `HTTPFailure` for what is not an address.
    package static func resolve(_ place: String, against address: String) throws -> String {
        let functions = try FetchLibrary.shared().functions
        guard let whole = text({ functions.resolve(place, address, $0, $1) }) else {
            throw HTTPFailure(kind: .invalidURL, reason: "\(shown(place)) is not an address", address: address)
        }
        return whole
    }

    /// Whether two addresses lead to the same scheme, host and port, as the library that connects to them reads them.
    package static func haveOneOrigin(_ one: String, _ other: String) throws -> Bool {
        let functions = try FetchLibrary.shared().functions
        guard let first = text({ functions.origin(one, $0, $1) }),
            let second = text({ functions.origin(other, $0, $1) })
        else { return false }
        return first.lowercased() == second.lowercased()
    }

    /// A text that a function of C writes; nil when it has none.
    private static func text(_ write: (UnsafeMutablePointer<CChar>, Int) -> Int32) -> String? {
        // Several times what servers and browsers take.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 17) { buffer in
            guard let start = buffer.baseAddress, write(start, buffer.count) == 0 else { return nil }
            return String(cString: start)
        }
    }

    /// A text with percent-encoded bytes decoded; invalid escapes are kept.
    package static func unescaped(_ text: String) -> String {
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
    package static func escaped(_ text: String, keeping: String = "") -> String {
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
