extension TemplateInterpreter {
    /// Formats a value, after its width is counted against the limits.
    mutating func formatted(_ value: TemplateValue, _ format: PythonFormat) throws(TemplateError) -> String {
        let (width, overflow) = format.width.multipliedReportingOverflow(by: 4)
        try spendBytes(overflow ? .max : TemplateValue.sum(width, format.precision ?? 0))
        if let text = value.text { try spendBytes(text.utf8.count) }
        do {
            return try format.text(of: value)
        } catch {
            throw failure(error.message)
        }
    }

    /// Python's `%` on a string, for the conversions that templates use.
    mutating func formatted(_ format: String, _ value: TemplateValue) throws(TemplateError) -> String {
        try spend(format.utf8.count)
        var arguments = [value][...]
        if case .tuple(let list) = value { arguments = list.elements[...] }
        var takesNames = false
        var result = ""
        var rest = Array(format.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            if rest.first == "%" {
                rest.removeFirst()
                result += "%"
                continue
            }
            try spendBytes(result.utf8.count)
            if rest.first == "(" {
                guard case .dictionary(let dictionary) = value else { throw failure("format requires a mapping") }
                guard let end = rest.firstIndex(of: ")") else { throw failure("incomplete format key") }
                let name = PythonText.string(rest[(rest.startIndex + 1)..<end])
                rest = rest[(end + 1)...]
                guard let argument = dictionary[name] else { throw failure("KeyError: \(TemplateValue.quoted(name))") }
                takesNames = true
                arguments = [argument]
            }
            let conversion = try conversion(&rest, &arguments)
            guard let argument = arguments.popFirst() else { throw failure("not enough arguments for format string") }
            result += try converted(argument, conversion)
        }
        switch value {
        case .dictionary, .list: break
        default:
            guard takesNames || arguments.isEmpty else {
                throw failure("not all arguments converted during string formatting")
            }
        }
        return result
    }

    /// Flags, width, precision and letter after a `%`.
    private mutating func conversion(
        _ rest: inout ArraySlice<Unicode.Scalar>,
        _ arguments: inout ArraySlice<TemplateValue>
    ) throws(TemplateError) -> PythonFormat {
        var format = PythonFormat()
        format.align = ">"
        flags: while let flag = rest.first {
            switch flag {
            case "-": format.align = "<"
            case "0": if format.align != "<" { (format.fill, format.align) = ("0", "=") }
            case "+": format.sign = "+"
            case " ": if format.sign == "-" { format.sign = " " }
            case "#": format.isAlternate = true
            default: break flags
            }
            rest.removeFirst()
        }
        if format.align == "<" { format.fill = " " }
        func number() throws(TemplateError) -> Int? {
            guard rest.first == "*" else {
                do { return try PythonFormat.number(&rest) } catch { throw failure(error.message) }
            }
            rest.removeFirst()
            guard let value = arguments.popFirst() else { throw failure("not enough arguments for format string") }
            guard let count = value.integer else { throw failure("* wants int") }
            return count
        }
        var width = try number() ?? 0
        if width < 0 {
            (width, format.align, format.fill) = (width == .min ? .max : -width, "<", " ")
        }
        format.width = width
        if rest.first == "." {
            rest.removeFirst()
            format.precision = max(0, try number() ?? 0)
        }
        while let letter = rest.first, ["h", "l", "L"].contains(letter) { rest.removeFirst() }
        guard let letter = rest.popFirst() else { throw failure("incomplete format") }
        format.type = letter
        return format
    }

    private mutating func converted(_ argument: TemplateValue, _ conversion: PythonFormat) throws(TemplateError)
        -> String
    {
        var format = conversion
        let letter = conversion.type ?? "s"
        var value = argument
        switch letter {
        case "s", "r":
            if letter == "r" {
                try spend(argument.size / 16)
                value = .string(try represented(argument))
            } else {
                value = .string(try text(of: argument))
            }
            (format.type, format.sign, format.isAlternate) = ("s", "-", false)
            if format.align == "=" { (format.align, format.fill) = (">", " ") }
        case "c":
            if let text = argument.text {
                guard text.unicodeScalars.count == 1 else { throw failure("%c requires int or char") }
                (format.type, format.precision) = ("s", nil)
            }
            if format.align == "=" { (format.align, format.fill) = (">", " ") }
            (format.sign, format.isAlternate) = ("-", false)
        case "d", "i", "u":
            guard let digits = argument.truncatedDigits else {
                throw failure("%\(letter) format: a real number is required, not \(argument.typeName)")
            }
            (format.type, format.isAlternate) = ("d", false)
            value = try padded(digits, &format)
        case "o", "x", "X":
            guard argument.wholeDigits != nil else {
                throw failure("%\(letter) format: an integer is required, not \(argument.typeName)")
            }
            guard format.precision == nil else {
                throw failure("a precision is not supported for the format character '\(letter)'")
            }
        case "e", "E", "f", "F", "g", "G":
            guard let number = argument.number else {
                throw failure("must be real number, not \(argument.typeName)")
            }
            value = .double(number)
        default: throw failure("the format character '\(letter)' is not supported")
        }
        return try formatted(value, format)
    }

    /// An integer with the number of digits of its precision.
    private mutating func padded(_ digits: String, _ format: inout PythonFormat) throws(TemplateError) -> TemplateValue
    {
        guard let least = format.precision else { return .whole(digits) }
        format.precision = nil
        try spendBytes(least)
        let isNegative = digits.hasPrefix("-")
        let bare = isNegative ? String(digits.dropFirst()) : digits
        return .largeInteger(
            (isNegative ? "-" : "") + String(repeating: "0", count: max(0, least - bare.count)) + bare
        )
    }

    /// `str.format` with `{}`, `{0}`, `{name}`, their parts, conversions and specifications.
    mutating func braceFormatted(_ format: String, _ arguments: TemplateArguments) throws(TemplateError) -> String {
        try spend(format.utf8.count)
        var result = ""
        var next = 0
        var rest = format.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if scalar == "{" || scalar == "}", rest.first == scalar {
                rest.removeFirst()
                result.unicodeScalars.append(scalar)
            } else if scalar == "{" {
                guard let end = rest.firstIndex(of: "}") else { throw failure("expected '}' before end of string") }
                let field = String(rest[..<end])
                rest = rest[rest.index(after: end)...]
                result += try replacement(of: field, arguments, &next)
                try spendBytes(result.utf8.count)
            } else if scalar == "}" {
                throw failure("Single '}' encountered in format string")
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private mutating func replacement(
        of field: String,
        _ arguments: TemplateArguments,
        _ next: inout Int
    ) throws(TemplateError) -> String {
        let colon = field.firstIndex(of: ":") ?? field.endIndex
        var name = field[..<colon]
        let specification = field[colon...].dropFirst()
        var conversion: Substring?
        if let mark = name.firstIndex(of: "!") {
            conversion = name[mark...].dropFirst()
            name = name[..<mark]
        }
        guard !specification.contains("{") else {
            throw failure("fields within a format specification are not supported")
        }
        let path = name.split(separator: ".", omittingEmptySubsequences: false)
        let first = path.first ?? ""
        let index = first.isEmpty ? next : Int(first)
        if first.isEmpty { next += 1 }
        let found = index.flatMap { arguments.positions.indices.contains($0) ? arguments.positions[$0] : nil }
        guard !first.contains("["), var value = found ?? arguments.keywords[String(first)] else {
            throw failure("the field '\(field)' of the format has no argument, or is not supported")
        }
        for part in path.dropFirst() { value = try attribute(String(part), of: value) }
        switch conversion {
        case nil: break
        case "s": value = .string(try text(of: value))
        case "r":
            try spend(value.size / 16)
            value = .string(try represented(value))
        default: throw failure("Unknown conversion specifier '\(conversion ?? "")'")
        }
        guard !specification.isEmpty else { return try text(of: value) }
        let parsed: PythonFormat
        do { parsed = try PythonFormat(specification: specification) } catch { throw failure(error.message) }
        return try formatted(value, parsed)
    }
}
