/// The methods of Python's strings, scalar by scalar.
package enum PythonText {
    /// The white space of `str.isspace` and `str.strip`.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var result = String.UnicodeScalarView()
        result.append(contentsOf: scalars)
        return String(result)
    }

    static func lower(_ scalar: Unicode.Scalar) -> String {
        scalar.properties.lowercaseMapping
    }

    /// The value of a string literal between its quotes, or nil where an escape is malformed.
    static func unescaped(_ raw: ArraySlice<Unicode.Scalar>) -> String? {
        var result = String.UnicodeScalarView()
        var rest = raw
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{c}", "n": "\n", "r": "\r", "t": "\t",
            "v": "\u{b}",
        ]
        while let scalar = rest.popFirst() {
            guard scalar == "\\", let escape = rest.popFirst() else {
                result.append(scalar)
                continue
            }
            if let value = simple[escape] {
                result.append(value)
            } else if escape == "\n" {
                continue
            } else if let width = [Unicode.Scalar("x"): 2, "u": 4, "U": 8][escape] {
                let digits = rest.prefix(width)
                guard digits.count == width, digits.allSatisfy(\.properties.isASCIIHexDigit),
                    let value = UInt32(string(digits), radix: 16), let decoded = Unicode.Scalar(value)
                else { return nil }
                result.append(decoded)
                rest = rest.dropFirst(width)
            } else if ("0"..."7").contains(escape) {
                var value = escape.value - 48
                var count = 1
                while count < 3, let next = rest.first, ("0"..."7").contains(next) {
                    value = value * 8 + next.value - 48
                    rest.removeFirst()
                    count += 1
                }
                guard let decoded = Unicode.Scalar(value) else { return nil }
                result.append(decoded)
            } else {
                result.append("\\")
                result.append(escape)
            }
        }
        return String(result)
    }

    /// `str.strip` and its two halves; without a set, white space goes.
    package static func strip(_ text: String, _ set: String?, left: Bool, right: Bool) -> String {
        let scalars = text.unicodeScalars
        let members = set.map { Set($0.unicodeScalars) }
        func stays(_ scalar: Unicode.Scalar) -> Bool { !(members?.contains(scalar) ?? isSpace(scalar)) }
        let start = left ? scalars.firstIndex(where: stays) ?? scalars.endIndex : scalars.startIndex
        guard right else { return String(scalars[start...]) }
        let end = scalars[start...].lastIndex(where: stays).map { scalars.index(after: $0) } ?? start
        return String(scalars[start..<end])
    }

    /// `str.split`: at white space, or at a separator; `limit` below 0 means all.
    static func split(_ text: String, _ separator: String?, limit: Int, fromRight: Bool) -> [String] {
        guard let separator else { return splitAtSpace(text, limit: limit, fromRight: fromRight) }
        let bytes = Array(text.utf8)
        var cuts = ranges(of: Array(separator.utf8), in: bytes)
        if limit >= 0 { cuts = fromRight ? Array(cuts.suffix(limit)) : Array(cuts.prefix(limit)) }
        var parts: [String] = []
        var start = 0
        for cut in cuts {
            parts.append(String(decoding: bytes[start..<cut.lowerBound], as: UTF8.self))
            start = cut.upperBound
        }
        return parts + [String(decoding: bytes[start...], as: UTF8.self)]
    }

    private static func splitAtSpace(_ text: String, limit: Int, fromRight: Bool) -> [String] {
        var parts: [String] = []
        var rest = text.unicodeScalars[...]
        while true {
            func stays(_ scalar: Unicode.Scalar) -> Bool { !isSpace(scalar) }
            if fromRight {
                rest = rest[..<(rest.lastIndex(where: stays).map { rest.index(after: $0) } ?? rest.startIndex)]
            } else {
                rest = rest[(rest.firstIndex(where: stays) ?? rest.endIndex)...]
            }
            guard !rest.isEmpty else { break }
            if limit >= 0, parts.count == limit {
                parts.append(String(rest))
                break
            }
            if fromRight {
                let start = rest.lastIndex(where: isSpace).map { rest.index(after: $0) } ?? rest.startIndex
                parts.append(String(rest[start...]))
                rest = rest[..<start]
            } else {
                let end = rest.firstIndex(where: isSpace) ?? rest.endIndex
                parts.append(String(rest[..<end]))
                rest = rest[end...]
            }
        }
        return fromRight ? parts.reversed() : parts
    }

    /// The number of parts of `str.split`; `limit` below 0 means all.
    static func partCount(_ text: String, _ separator: String?, limit: Int) -> Int {
        var count = 0
        if let separator {
            count = 1 + self.count(of: separator, in: text)
        } else {
            var isInside = false
            for scalar in text.unicodeScalars {
                let isSpace = isSpace(scalar)
                if !isSpace, !isInside { count += 1 }
                isInside = !isSpace
            }
        }
        return limit < 0 ? count : min(count, limit < Int.max ? limit + 1 : limit)
    }

    /// The number of occurrences of one text in another without overlap.
    static func count(of part: String, in text: String) -> Int {
        var text = text
        return text.withUTF8 { ByteSearch.count(of: Array(part.utf8), in: $0) }
    }

    /// The positions of one byte string in another, without overlap.
    static func ranges(of part: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Range<Int>] {
        bytes.withUnsafeBufferPointer { ByteSearch.ranges(of: part, in: $0, limit: limit) }
    }

    /// `str.replace`; `limit` below 0 means all.
    static func replace(_ text: String, _ old: String, _ new: String, limit: Int) -> String {
        let most = limit < 0 ? Int.max : limit
        guard !old.isEmpty else {
            // Python puts the new text around every scalar.
            var result = ""
            var count = 0
            for scalar in text.unicodeScalars {
                if count < most { result += new }
                count += 1
                result.unicodeScalars.append(scalar)
            }
            return count < most ? result + new : result
        }
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var start = 0
        bytes.withUnsafeBufferPointer { buffer in
            ByteSearch.forEachRange(of: Array(old.utf8), in: buffer, limit: most) { range in
                result += buffer[start..<range.lowerBound]
                result += new.utf8
                start = range.upperBound
            }
        }
        return String(decoding: result + bytes[start...], as: UTF8.self)
    }

    /// `str.capitalize`.
    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return "" }
        return first.properties.titlecaseMapping + lowered(String(text.unicodeScalars.dropFirst()))
    }

    /// `str.lower`, which knows the sigma at the end of a word.
    static func lowered(_ text: String) -> String {
        guard text.unicodeScalars.contains("\u{3A3}") else { return text.lowercased() }
        let scalars = Array(text.unicodeScalars)
        func isLetter(_ indices: some Sequence<Int>) -> Bool {
            for index in indices where !scalars[index].properties.isCaseIgnorable {
                return scalars[index].properties.isCased
            }
            return false
        }
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            guard scalar == "\u{3A3}" else {
                result += scalar.properties.lowercaseMapping
                continue
            }
            let endsWord = isLetter((0..<index).reversed()) && !isLetter((index + 1)..<scalars.count)
            result += endsWord ? "\u{3C2}" : "\u{3C3}"
        }
        return result
    }

    /// `str.title`: a letter after a letter is small.
    static func title(_ text: String) -> String {
        var result = ""
        var followsLetter = false
        for scalar in text.unicodeScalars {
            if scalar.isASCII {
                append(scalar, isCapital: !followsLetter, to: &result)
                followsLetter = ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
            } else {
                let properties = scalar.properties
                result += followsLetter ? properties.lowercaseMapping : properties.titlecaseMapping
                followsLetter = properties.isCased
            }
        }
        return result
    }

    /// Appends a scalar of ASCII in upper or lower case, without the tables that other scalars need.
    static func append(_ scalar: Unicode.Scalar, isCapital: Bool, to text: inout String) {
        let isLetter = isCapital ? ("a"..."z").contains(scalar) : ("A"..."Z").contains(scalar)
        text.unicodeScalars.append(isLetter ? Unicode.Scalar(UInt8(scalar.value) ^ 0x20) : scalar)
    }
}
