extension RegularExpression {
    /// Rewrites a pattern of Python's tokenizers (Oniguruma's syntax) for PCRE2.
    ///
    /// The classes that matter mean the same set of scalars as there: `\s` is Unicode's White_Space (PCRE2 adds U+180E),
    /// and `\p{...}` can be widened by `UnicodeAdditions`.
    static func translated(_ pattern: String, widened: Bool) -> String {
        var output = ""
        var scalars = Array(pattern.unicodeScalars)[...]
        var depth = 0
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "\\":
                guard let escaped = scalars.popFirst() else { return pattern }
                output += translatedEscape(escaped, rest: &scalars, insideClass: depth > 0, widened: widened)
            case "[":
                // PCRE2 reads "[" inside a class as itself unless it opens a POSIX class.
                if depth == 0 {
                    depth = 1
                    output += "["
                    if scalars.first == "^" { output.unicodeScalars.append(scalars.removeFirst()) }
                    if scalars.first == "]" { output.unicodeScalars.append(scalars.removeFirst()) }
                } else if scalars.first == ":", let end = scalars.firstIndex(of: "]") {
                    output += "["
                    for inner in scalars[scalars.startIndex...end] { output.unicodeScalars.append(inner) }
                    scalars = scalars[(end + 1)...]
                } else {
                    output += "\\["
                }
            case "]":
                depth = 0
                output += "]"
            default:
                output.unicodeScalars.append(scalar)
            }
        }
        return output
    }

    private static let whiteSpace =
        #"\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"#

    private static func translatedEscape(
        _ escaped: Unicode.Scalar,
        rest: inout ArraySlice<Unicode.Scalar>,
        insideClass: Bool,
        widened: Bool
    ) -> String {
        switch escaped {
        case "s":
            return insideClass ? whiteSpace : "[\(whiteSpace)]"
        case "S" where !insideClass:
            return "[^\(whiteSpace)]"
        case "w":
            let word = wordCharacters(widened: widened)
            return insideClass ? word : "[\(word)]"
        case "W" where !insideClass:
            return "[^\(wordCharacters(widened: widened))]"
        case "p", "P":
            guard widened, let property = propertyName(&rest) else { return "\\\(escaped)" }
            let original = "\\\(escaped){\(property)}"
            guard let ranges = UnicodeAdditions.byProperty[property] else { return original }
            let positive = "\\p{\(property)}\(listed(ranges))"
            if escaped == "p" { return insideClass ? positive : "[\(positive)]" }
            // A negated property inside a class cannot be narrowed there; the unassigned scalars stay in it.
            return insideClass ? original : "[^\(positive)]"
        default:
            return "\\\(escaped)"
        }
    }

    /// Oniguruma's word characters: PCRE2 has no marks among its own.
    private static func wordCharacters(widened: Bool) -> String {
        let known = #"\p{Alphabetic}\p{M}\p{N}\p{Pc}"#
        let tables = [UnicodeAdditions.letters, UnicodeAdditions.marks, UnicodeAdditions.numbers]
        return widened ? known + tables.map(listed).joined() : known
    }

    private static func listed(_ ranges: UnicodeAdditions.Table) -> String {
        ranges.map { range in
            "\\x{\(String(range.lowerBound, radix: 16))}-\\x{\(String(range.upperBound, radix: 16))}"
        }.joined()
    }

    /// Parses `{Name}` at the start.
    private static func propertyName(_ rest: inout ArraySlice<Unicode.Scalar>) -> String? {
        guard rest.first == "{", let end = rest.firstIndex(of: "}") else { return nil }
        var name = ""
        for scalar in rest[(rest.startIndex + 1)..<end] { name.unicodeScalars.append(scalar) }
        guard !name.hasPrefix("^") else { return nil }
        rest = rest[(end + 1)...]
        return name
    }
}
