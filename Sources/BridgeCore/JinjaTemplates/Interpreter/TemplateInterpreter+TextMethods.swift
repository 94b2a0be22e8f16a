/// The methods of strings that templates use less often, and those that take a part of the text.
extension TemplateInterpreter {
    mutating func callOtherMethod(
        _ name: String,
        ofText text: String,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "center", "ljust", "rjust":
            guard let width = arguments.positions.first?.integer else { throw failure("\(name) needs a width") }
            let fill = arguments.positions.count > 1 ? arguments.positions[1].text : " "
            guard let fill, fill.unicodeScalars.count == 1 else {
                throw failure("The fill character must be exactly one character long")
            }
            return try justified(text, width, fill, name)
        case "zfill":
            guard let width = arguments.positions.first?.integer else { throw failure("zfill needs a width") }
            let sign = text.hasPrefix("+") || text.hasPrefix("-") ? String(text.prefix(1)) : ""
            let rest = String(text.unicodeScalars.dropFirst(sign.unicodeScalars.count))
            let (inner, overflow) = width.subtractingReportingOverflow(sign.unicodeScalars.count)
            return try made(sign + (try justified(rest, overflow ? 0 : inner, "0", "rjust").text ?? ""))
        case "swapcase":
            var result = ""
            for scalar in text.unicodeScalars {
                let properties = scalar.properties
                result +=
                    properties.isUppercase
                    ? properties.lowercaseMapping
                    : properties.isLowercase ? properties.uppercaseMapping : String(Character(scalar))
            }
            return try made(result)
        case "expandtabs":
            let size = arguments.value(0, "tabsize") ?? .integer(8)
            guard let size = size.integer else { throw failure("expandtabs needs a whole number") }
            return try expanded(text, size: max(0, size))
        case "casefold":
            // Beyond ASCII the case folding of Unicode differs from lower case.
            guard text.unicodeScalars.allSatisfy(\.isASCII) else {
                throw failure("the string method 'casefold' is supported for ASCII only in chat templates")
            }
            return try made(text.lowercased())
        case "format_map":
            guard case .dictionary(let dictionary)? = arguments.positions.first else {
                throw failure("format_map needs a mapping")
            }
            var names = TemplateArguments()
            for entry in dictionary.entries { if let name = entry.key.text { names.set(name, entry.value) } }
            return try made(try braceFormatted(text, names))
        default:
            throw failure("the string method '\(name)' is not supported in chat templates")
        }
    }

    /// `str.center`, `str.ljust` and `str.rjust`.
    mutating func justified(
        _ text: String,
        _ width: Int,
        _ fill: String,
        _ name: String
    ) throws(TemplateError) -> TemplateValue {
        let count = text.unicodeScalars.count
        guard width > count else { return .string(text) }
        let missing = width - count
        let (bytes, overflow) = missing.multipliedReportingOverflow(by: fill.utf8.count)
        try spendBytes(overflow ? .max : TemplateValue.sum(bytes, text.utf8.count))
        // Python puts the odd one on the left where the width is odd.
        let left = name == "ljust" ? 0 : name == "rjust" ? missing : missing / 2 + (missing & width & 1)
        return .string(
            String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left)
        )
    }

    private mutating func expanded(_ text: String, size: Int) throws(TemplateError) -> TemplateValue {
        var result = String.UnicodeScalarView()
        var (column, total) = (0, 0)
        for scalar in text.unicodeScalars {
            guard scalar == "\t" else {
                column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                result.append(scalar)
                continue
            }
            let count = size > 0 ? size - column % size : 0
            total = TemplateValue.sum(total, count)
            try spendBytes(total)
            result.append(contentsOf: repeatElement(" ", count: count))
            column += count
        }
        return try made(String(result))
    }

    /// The positions that the second and third argument of a search leave; nil where they are none.
    func bounds(_ arguments: TemplateArguments, count: Int) throws(TemplateError) -> Range<Int>? {
        func bound(_ index: Int, _ fallback: Int) throws(TemplateError) -> Int {
            guard arguments.positions.count > index else { return fallback }
            if case .none = arguments.positions[index] { return fallback }
            guard let value = arguments.positions[index].integer else {
                throw failure("slice indices must be integers or None")
            }
            return value < 0 ? max(0, value + count) : value
        }
        let start = try bound(1, 0)
        let end = min(try bound(2, count), count)
        return start <= end ? start..<end : nil
    }

    /// The part of a text that a search looks at, and how many characters are before it; nil where there is none.
    func part(
        of text: String,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> (text: String, offset: Int)? {
        guard arguments.positions.count > 1 else { return (text, 0) }
        let scalars = text.unicodeScalars
        guard let bounds = try bounds(arguments, count: scalars.count) else { return nil }
        let part = scalars.dropFirst(bounds.lowerBound).prefix(bounds.count)
        return (String(String.UnicodeScalarView(part)), bounds.lowerBound)
    }

    mutating func find(
        _ name: String,
        _ part: String?,
        in whole: String,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard let part else { throw failure("\(name) needs a string") }
        guard let (text, offset) = try self.part(of: whole, arguments) else {
            if name.hasSuffix("index") { throw failure("substring not found") }
            return .integer(name == "count" ? 0 : -1)
        }
        let bytes = Array(text.utf8)
        if name == "count" {
            return .integer(part.isEmpty ? text.unicodeScalars.count + 1 : PythonText.count(of: part, in: text))
        }
        let found = PythonText.ranges(of: Array(part.utf8), in: bytes, limit: 1)
        let isFromRight = name.hasPrefix("r")
        if part.isEmpty { return .integer(offset + (isFromRight ? text.unicodeScalars.count : 0)) }
        var location = found.first?.lowerBound
        if isFromRight {
            // The last occurrence may overlap an earlier one.
            let (work, overflow) = bytes.count.multipliedReportingOverflow(by: part.utf8.count)
            try spend(overflow ? .max : work / 64)
            location = stride(from: bytes.count - part.utf8.count, through: 0, by: -1)
                .first { bytes[$0...].starts(with: part.utf8) }
        }
        guard let location else {
            if name.hasSuffix("index") { throw failure("substring not found") }
            return .integer(-1)
        }
        return .integer(offset + String(decoding: bytes[..<location], as: UTF8.self).unicodeScalars.count)
    }
}
