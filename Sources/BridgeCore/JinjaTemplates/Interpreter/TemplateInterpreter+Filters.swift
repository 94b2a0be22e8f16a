extension TemplateInterpreter {
    /// `value | name(arguments)`.
    mutating func apply(
        _ name: String,
        to value: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        let first = arguments.positions.first
        if let text = value.text { try scan(text) } else { try visit(value) }
        switch name {
        case "trim":
            let set = arguments.value(0, "chars")?.text
            if let set { try scan(set) }
            return .string(PythonText.strip(try stringified(value), set, left: true, right: true))
        case "upper": return try made(try stringified(value).uppercased())
        case "lower": return try made(PythonText.lowered(try stringified(value)))
        case "capitalize": return try made(PythonText.capitalize(try stringified(value)))
        case "title": return try made(titled(try stringified(value)))
        case "string": return .string(try text(of: value))
        case "safe": return .markup(try stringified(value))
        case "escape", "e":
            if case .markup = value { return value }
            let text = try stringified(value)
            try spendBytes(TemplateValue.countEscapedForHTML(text))
            return .markup(TemplateValue.escapedForHTML(text))
        case "length", "count": return try length(value)
        case "default", "d":
            let fallback = arguments.value(0, "default_value") ?? .string("")
            let isStrict = arguments.value(1, "boolean")?.isTrue ?? false
            return value.isUndefined || isStrict && !value.isTrue ? fallback : value
        case "tojson": return try json(value, arguments)
        case "int": return try wholeNumber(value, arguments)
        case "float":
            if let number = value.number { return .double(number) }
            return value.text.flatMap(PythonText.number).map { .double($0) } ?? arguments.value(0, "default")
                ?? .double(0)
        case "abs":
            if case .largeInteger(let digits) = value {
                return digits.hasPrefix("-") ? .largeInteger(String(digits.dropFirst())) : value
            }
            if let integer = value.integer { return integer < 0 ? try negated(.integer(integer)) : .integer(integer) }
            guard let number = value.number else { throw failure("bad operand type for abs(): '\(value.typeName)'") }
            return .double(number.magnitude)
        case "round": return try rounded(value, arguments)
        case "replace":
            guard let first, let second = arguments.value(1, "new") else { throw failure("replace needs two strings") }
            let (old, new) = (try text(of: first), try text(of: second))
            return try replaced(try stringified(value), old, new, limit: arguments.value(2, "count")?.integer ?? -1)
        case "join":
            return try joined(
                value,
                separator: try text(of: arguments.value(0, "d") ?? .string("")),
                attribute: arguments.value(1, "attribute")
            )
        case "indent": return try indented(try stringified(value), arguments)
        case "format":
            guard arguments.names.isEmpty || arguments.positions.isEmpty else {
                throw failure("can't handle positional and keyword arguments at the same time")
            }
            let given: TemplateValue =
                arguments.names.isEmpty
                ? .tuple(arguments.positions)
                : .dictionary(TemplateDictionary(arguments.named.map { (.string($0.name), $0.value) }))
            return try made(try formatted(try stringified(value), given))
        case "wordcount":
            return .integer(PythonText.wordCount(try stringified(value)))
        case "center":
            let width = arguments.value(0, "width") ?? .integer(80)
            guard let width = width.integer else { throw failure("center needs a width") }
            return try justified(try stringified(value), width, " ", name)
        case "truncate": return try truncated(try stringified(value), arguments)
        case "filesizeformat": return try fileSize(value, arguments)
        case "urlencode": return try urlEncoded(value)
        case "forceescape":
            let text = try stringified(value)
            try spendBytes(TemplateValue.countEscapedForHTML(text))
            return .markup(TemplateValue.escapedForHTML(text))
        case "attr":
            let name = try text(of: arguments.value(0, "name") ?? .none)
            switch value {
            case .namespace, .loop, .iterator, .tuple: return try attribute(name, of: value)
            case .undefined(let reason): throw failure(reason)
            default: return .undefined("'\(value.typeName) object' has no attribute \(TemplateValue.quoted(name))")
            }
        case "items":
            if value.isUndefined { return .list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw failure("Can only get item pairs from a mapping.")
            }
            try holdElements(dictionary.entries.count, bytesEach: 3 * TemplateValue.elementBytes)
            return try made(dictionary.entries.map { .tuple([$0.key, $0.value]) })
        default:
            return try applyToList(name, value, arguments)
        }
    }

    /// The text of a value, for filters that convert it.
    ///
    /// The text is accounted for.
    private mutating func stringified(_ value: TemplateValue) throws(TemplateError) -> String {
        try text(of: value)
    }

    private func titled(_ text: String) -> String {
        // Jinja's own rule: words start after a hyphen, a bracket or white space.
        var result = ""
        var isStart = true
        for scalar in text.unicodeScalars {
            if scalar.isASCII {
                PythonText.append(scalar, isCapital: isStart, to: &result)
            } else {
                result += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            }
            isStart =
                switch scalar {
                case "-", "(", "{", "[", "<": true
                default: PythonText.isSpace(scalar)
                }
        }
        return result
    }

    private func length(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .string(let text), .markup(let text): return .integer(text.unicodeScalars.count)
        case .list(let list), .tuple(let list): return .integer(list.elements.count)
        case .dictionary(let dictionary): return .integer(dictionary.entries.count)
        case .undefined: return .integer(0)
        default: throw failure("object of type '\(value.typeName)' has no len()")
        }
    }

    private mutating func json(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        var writer = TemplateJSONWriter(limit: limits.bytes)
        writer.escapesNonASCII = arguments.value(0, "ensure_ascii")?.isTrue ?? false
        if let indent = arguments.value(1, "indent")?.integer {
            guard indent <= 64 else { throw failure("tojson cannot indent by \(indent)") }
            writer.indent = indent
            writer.itemSeparator = ","
        }
        if let pair = arguments.value(2, "separators"), let separators = try elements(of: pair), separators.count == 2 {
            writer.itemSeparator = try text(of: separators[0])
            writer.keySeparator = try text(of: separators[1])
        }
        writer.sortsKeys = arguments.value(3, "sort_keys")?.isTrue ?? false
        try visit(value)
        do {
            return try made(try writer.write(value))
        } catch {
            throw failure(error.message)
        }
    }

    private func wholeNumber(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        if let integer = value.integer { return .integer(integer) }
        let fallback = arguments.value(0, "default") ?? .integer(0)
        if let digits = value.truncatedDigits { return .whole(digits) }
        guard let text = value.text else { return fallback }
        let base = arguments.value(1, "base")?.integer ?? 10
        if let digits = PythonText.digits(text, base: base) { return .whole(digits) }
        return PythonText.number(text).flatMap { TemplateValue.double($0).truncatedDigits }.map { .whole($0) }
            ?? fallback
    }

    private mutating func rounded(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        guard let number = value.number else { throw failure("type \(value.typeName) doesn't define __round__ method") }
        let precision = arguments.value(0, "precision")?.integer ?? 0
        guard (0...15).contains(precision) else { throw failure("round takes a precision from 0 to 15") }
        let method = arguments.value(1, "method")?.text ?? "common"
        // Python rounds integers to themselves.
        if method == "common", let digits = value.wholeDigits { return .whole(digits) }
        let factor = (0..<precision).reduce(1.0) { scale, _ in scale * 10 }
        switch method {
        case "ceil": return .double((number * factor).rounded(.up) / factor)
        case "floor": return .double((number * factor).rounded(.down) / factor)
        case "common":
            // Through decimal digits, as Python rounds.
            return .double(Double(try formatted("%.\(precision)f", .double(number))) ?? number)
        default: throw failure("method must be common, ceil or floor")
        }
    }

    mutating func joined(
        _ value: TemplateValue,
        separator: String,
        attribute: TemplateValue?
    ) throws(TemplateError) -> TemplateValue {
        guard let elements = try elements(of: value) else {
            throw failure("'\(value.typeName)' object is not iterable")
        }
        var text = ""
        for (index, element) in elements.enumerated() {
            if index > 0 { text += separator }
            text += try self.text(of: try part(attribute, of: element))
            guard text.utf8.count <= limits.bytes else { throw failure("join makes more than \(limits.bytes) bytes") }
            try spend()
        }
        return try made(text)
    }

    /// The part of an element that a filter's `attribute` names, with dots for deeper parts.
    mutating func part(
        _ attribute: TemplateValue?,
        of element: TemplateValue,
        default fallback: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        guard let attribute else { return element }
        guard let path = attribute.text else { return try item(attribute, of: element) }
        try scan(path)
        var value = element
        for name in path.split(separator: ".", omittingEmptySubsequences: false) {
            value = try item(Int(name).map { .integer($0) } ?? .string(String(name)), of: value)
            if value.isUndefined, let fallback { value = fallback }
        }
        return value
    }

    private mutating func indented(_ text: String, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        let width = arguments.value(0, "width")
        if let count = width?.integer { try spendBytes(max(0, count)) }
        let space = width?.text ?? String(repeating: " ", count: max(0, width?.integer ?? 4))
        let first = arguments.value(1, "first")?.isTrue ?? false
        let blank = arguments.value(2, "blank")?.isTrue ?? false
        try holdElements(PythonText.lineCount(text) + 1)
        try hold(text.utf8.count)
        var lines = PythonText.lines(text + "\n")
        let (spaces, overflow) = lines.count.multipliedReportingOverflow(by: space.utf8.count)
        try spendBytes(overflow ? .max : TemplateValue.sum(text.utf8.count, spaces))
        for index in lines.indices where (index > 0 && (blank || !lines[index].isEmpty)) || (index == 0 && first) {
            lines[index] = space + lines[index]
        }
        return try made(lines.joined(separator: "\n"))
    }

    private mutating func truncated(_ text: String, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        guard let length = (arguments.value(0, "length") ?? .integer(255)).integer else {
            throw failure("truncate needs a whole number as length")
        }
        let cutsWords = arguments.value(1, "killwords")?.isTrue ?? false
        let end = try self.text(of: arguments.value(2, "end") ?? .string("..."))
        let leeway = arguments.value(3, "leeway").flatMap { if case .none = $0 { nil } else { $0.integer ?? -1 } } ?? 5
        let endCount = end.unicodeScalars.count
        guard length >= endCount else { throw failure("expected length >= \(endCount), got \(length)") }
        guard leeway >= 0 else { throw failure("expected leeway >= 0, got \(leeway)") }
        let scalars = text.unicodeScalars
        guard scalars.count > TemplateValue.sum(length, leeway) else { return .string(text) }
        var kept = String(String.UnicodeScalarView(scalars.prefix(length - endCount)))
        if !cutsWords { kept = PythonText.split(kept, " ", limit: 1, fromRight: true)[0] }
        return try made(kept + end)
    }

    private mutating func fileSize(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        guard let bytes = value.number ?? value.text.flatMap(PythonText.number) else {
            throw failure("filesizeformat needs a number")
        }
        let isBinary = arguments.value(0, "binary")?.isTrue ?? false
        let base = isBinary ? 1024.0 : 1000
        if bytes == 1 { return .string("1 Byte") }
        guard bytes >= base else {
            guard let digits = TemplateValue.double(bytes).truncatedDigits else {
                throw failure("filesizeformat needs a number")
            }
            return .string("\(digits) Bytes")
        }
        let prefixes =
            isBinary
            ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
            : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
        var unit = base
        for (index, prefix) in prefixes.enumerated() {
            unit *= base
            guard bytes < unit || index == prefixes.count - 1 else { continue }
            let text = try formatted("%.1f", .double(base * bytes / unit))
            return .string("\(text) \(prefix)")
        }
        return .string("")
    }

    private mutating func urlEncoded(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        guard !value.isIterable || value.text != nil else {
            var pairs: [(TemplateValue, TemplateValue)] = []
            if case .dictionary(let dictionary) = value {
                pairs = dictionary.entries.map { ($0.key, $0.value) }
            } else {
                for element in try elements(of: value) ?? [] {
                    guard let parts = try elements(of: element), parts.count == 2 else {
                        throw failure("urlencode needs a text, a mapping or a list of pairs")
                    }
                    pairs.append((parts[0], parts[1]))
                }
            }
            var parts: [String] = []
            for (key, value) in pairs {
                let (key, value) = (try text(of: key), try text(of: value))
                try spendBytes(3 * (key.utf8.count + value.utf8.count))
                parts.append(
                    "\(PythonText.urlQuoted(key, isQuery: true))=\(PythonText.urlQuoted(value, isQuery: true))"
                )
            }
            return try made(parts.joined(separator: "&"))
        }
        let text = try stringified(value)
        try spendBytes(3 * text.utf8.count)
        return .string(PythonText.urlQuoted(text, isQuery: false))
    }
}
