extension TemplateInterpreter {
    /// The filters that walk over a list.
    mutating func applyToList(
        _ name: String,
        _ value: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard Self.listFilters.contains(name) else {
            let isOfJinja = Self.jinjaFilters.contains(name)
            throw failure(
                isOfJinja ? "the filter '\(name)' is not supported in chat templates" : "No filter named '\(name)'."
            )
        }
        guard let elements = try elements(of: value) else {
            throw failure("'\(value.typeName)' object is not iterable")
        }
        try spend(elements.count)
        switch name {
        case "list": return try made(elements)
        case "first": return elements.first ?? .undefined("No first item, sequence was empty.")
        case "last": return elements.last ?? .undefined("No last item, sequence was empty.")
        case "reverse":
            if let text = value.text { return .string(PythonText.string(text.unicodeScalars.reversed())) }
            return try made(elements.reversed())
        case "sort":
            let key = arguments.value(2, "attribute")
            let isReversed = arguments.value(0, "reverse")?.isTrue ?? false
            return try made(
                try sorted(
                    elements,
                    by: key,
                    isReversed: isReversed,
                    isExact: arguments.value(1, "case_sensitive")?.isTrue ?? false
                )
            )
        case "dictsort": return try dictionarySorted(value, arguments)
        case "unique": return try made(try unique(elements, arguments))
        case "min", "max":
            // Of equals the first counts, as Python's min and max have it.
            let ordered = try sorted(
                elements,
                by: arguments.value(1, "attribute"),
                isReversed: name == "max",
                isExact: arguments.value(0, "case_sensitive")?.isTrue ?? false
            )
            return ordered.first
                ?? .undefined("No aggregated item, sequence was empty.")
        case "sum": return try sum(elements, arguments)
        case "map": return try made(try mapped(elements, arguments))
        case "select", "reject", "selectattr", "rejectattr": return try made(try selected(name, elements, arguments))
        case "batch", "slice": return try batched(name, elements, arguments)
        default: return try grouped(elements, arguments)
        }
    }

    private static let listFilters: Set<String> = [
        "list", "first", "last", "reverse", "sort", "dictsort", "unique", "min", "max", "sum", "map", "select",
        "reject",
        "selectattr", "rejectattr", "batch", "slice", "groupby",
    ]

    private func folded(_ value: TemplateValue, isExact: Bool) -> TemplateValue {
        isExact ? value : value.text.map { .string(PythonText.lowered($0)) } ?? value
    }

    /// Stable sort; texts compare without case by default.
    private mutating func sorted(
        _ elements: [TemplateValue],
        by attribute: TemplateValue?,
        default fallback: TemplateValue? = nil,
        isReversed: Bool,
        isExact: Bool
    ) throws(TemplateError) -> [TemplateValue] {
        let paths = attribute?.text?.split(separator: ",").map { TemplateValue.string(String($0)) }
        var keyed: [(key: TemplateValue, value: TemplateValue)] = []
        for element in elements {
            var keys: [TemplateValue] = []
            for path in paths ?? [attribute ?? .none] {
                let key = try part(attribute == nil ? nil : path, of: element, default: fallback)
                if let text = key.text { try scan(text) }
                keys.append(folded(key, isExact: isExact))
            }
            keyed.append((keys.count == 1 ? keys[0] : .tuple(keys), element))
        }
        for index in keyed.indices.dropFirst() where keyed[index].key.precedes(keyed[index - 1].key) == nil {
            throw failure(
                "'<' not supported between instances of '\(keyed[index].key.typeName)' and '\(keyed[index - 1].key.typeName)'"
            )
        }
        let total = keyed.reduce(elements.count) { TemplateValue.sum($0, $1.key.size / 64) }
        try spend(total.multipliedReportingOverflow(by: 16).overflow ? .max : total * 16)
        // Swift's sort is stable; with the sides swapped, so is the reversed one.
        keyed.sort { isReversed ? $1.key.precedes($0.key) ?? false : $0.key.precedes($1.key) ?? false }
        return keyed.map(\.value)
    }

    private mutating func dictionarySorted(
        _ value: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard case .dictionary(let dictionary) = value else { throw failure("dictsort needs a mapping") }
        try holdElements(dictionary.entries.count, bytesEach: 3 * TemplateValue.elementBytes)
        let location = arguments.value(1, "by")?.text == "value" ? 1 : 0
        let pairs: [TemplateValue] = dictionary.entries.map { .tuple([$0.key, $0.value]) }
        let isExact = arguments.value(0, "case_sensitive")?.isTrue ?? false
        let isReversed = arguments.value(2, "reverse")?.isTrue ?? false
        return try made(try sorted(pairs, by: .integer(location), isReversed: isReversed, isExact: isExact))
    }

    private mutating func unique(
        _ elements: [TemplateValue],
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> [TemplateValue] {
        let isExact = arguments.value(0, "case_sensitive")?.isTrue ?? false
        var seen = TemplateDictionary()
        var kept: [TemplateValue] = []
        for element in elements {
            let value = try part(arguments.value(1, "attribute"), of: element)
            if let text = value.text { try scan(text) } else { try visit(value) }
            let key = folded(value, isExact: isExact)
            guard seen[key] == nil else { continue }
            seen.set(key, .none)
            kept.append(element)
        }
        return kept
    }

    private mutating func sum(_ elements: [TemplateValue], _ arguments: TemplateArguments) throws(TemplateError)
        -> TemplateValue
    {
        var total = arguments.value(1, "start") ?? .integer(0)
        for element in elements {
            let value = try part(arguments.value(0, "attribute"), of: element)
            total = try evaluateChain(.literal(total), [(.add, .literal(value))])
        }
        return total
    }

    private mutating func mapped(
        _ elements: [TemplateValue],
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> [TemplateValue] {
        var result: [TemplateValue] = []
        if let attribute = arguments.keywords["attribute"] {
            for element in elements {
                result.append(try part(attribute, of: element, default: arguments.keywords["default"]))
            }
            return result
        }
        guard let name = arguments.positions.first?.text else { throw failure("map requires a filter argument") }
        let inner = TemplateArguments(positions: Array(arguments.positions.dropFirst()), keywordsOf: arguments)
        for element in elements { result.append(try apply(name, to: element, inner)) }
        return result
    }

    private mutating func selected(
        _ name: String,
        _ elements: [TemplateValue],
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> [TemplateValue] {
        var positions = arguments.positions[...]
        let attribute = name.hasSuffix("attr") ? positions.popFirst() : nil
        if name.hasSuffix("attr"), attribute == nil { throw failure("Missing parameter for attribute name") }
        let test = positions.popFirst()?.text
        let inner = TemplateArguments(positions: Array(positions), keywordsOf: arguments)
        var kept: [TemplateValue] = []
        for element in elements {
            let value = try part(attribute, of: element)
            let passes =
                try test.map { test throws(TemplateError) in try self.passes(test, value, inner) } ?? value.isTrue
            if passes == name.hasPrefix("select") { kept.append(element) }
        }
        return kept
    }

    private mutating func batched(
        _ name: String,
        _ elements: [TemplateValue],
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard let count = arguments.positions.first?.integer, count > 0, count <= limits.elements else {
            throw failure("\(name) needs a count above 0")
        }
        let filler = arguments.value(1, "fill_with")
        try spend(count)
        let partCount = name == "slice" ? count : elements.count / count + 1
        try holdElements(partCount, bytesEach: 2 * TemplateValue.elementBytes)
        var parts: [TemplateValue] = []
        if name == "batch" {
            for start in stride(from: 0, to: elements.count, by: count) {
                var part = Array(elements[start..<min(start + count, elements.count)])
                if let filler, part.count < count { part += Array(repeating: filler, count: count - part.count) }
                parts.append(.list(part))
            }
            return try made(parts)
        }
        let (size, extra) = elements.count.quotientAndRemainder(dividingBy: count)
        var start = 0
        for index in 0..<count {
            let end = start + size + (index < extra ? 1 : 0)
            var part = Array(elements[start..<end])
            if let filler, index >= extra { part.append(filler) }
            parts.append(.list(part))
            start = end
        }
        return try made(parts)
    }

    private mutating func grouped(
        _ elements: [TemplateValue],
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        guard let attribute = arguments.value(0, "attribute") else { throw failure("groupby needs an attribute") }
        let fallback = arguments.value(1, "default")
        let isExact = arguments.value(2, "case_sensitive")?.isTrue ?? false
        let ordered = try sorted(elements, by: attribute, default: fallback, isReversed: false, isExact: isExact)
        var groups: [(key: TemplateValue, folded: TemplateValue, items: [TemplateValue])] = []
        for element in ordered {
            let key = try part(attribute, of: element, default: fallback)
            if let text = key.text { try scan(text) }
            let folded = folded(key, isExact: isExact)
            if let last = groups.last, last.folded.equals(folded) {
                groups[groups.count - 1].items.append(element)
            } else {
                try holdElements(1, bytesEach: 4 * TemplateValue.elementBytes)
                groups.append((key, folded, [element]))
            }
        }
        return try made(
            groups.map { .tuple(TemplateList([$0.key, .list($0.items)], names: ["grouper", "list"])) }
        )
    }

    // MARK: Tests

    /// `value is name(arguments)`.
    mutating func passes(
        _ name: String,
        _ value: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> Bool {
        let other = arguments.positions.first ?? .none
        if let text = value.text { try scan(text) } else { try visit(value) }
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none":
            if case .none = value { return true }
            return false
        case "boolean", "true", "false":
            guard case .bool(let flag) = value else { return false }
            return name == "boolean" || flag == (name == "true")
        case "integer":
            switch value {
            case .integer, .largeInteger: return true
            default: return false
            }
        case "filter": return value.text.map { Self.jinjaFilters.contains($0) } ?? false
        case "test": return value.text.map { Self.jinjaTests.contains($0) } ?? false
        case "float":
            if case .double = value { return true }
            return false
        case "number": return value.number != nil
        case "string": return value.text != nil
        case "mapping":
            if case .dictionary = value { return true }
            return false
        case "iterable": return value.isIterable
        case "sequence":
            if case .undefined = value { return true }
            return value.isIterable
        case "callable":
            switch value {
            case .macro, .function: return true
            default: return false
            }
        case "sameas":
            if value.depth > 0 || other.depth > 0 { return false }
            return value.typeName == other.typeName && value.equals(other)
        case "eq", "equalto", "==": return value.equals(other)
        case "ne", "!=": return !value.equals(other)
        case "lt", "lessthan", "<": return try holds(value, .less, other)
        case "le", "<=": return try holds(value, .lessOrEqual, other)
        case "gt", "greaterthan", ">": return try holds(value, .greater, other)
        case "ge", ">=": return try holds(value, .greaterOrEqual, other)
        case "in": return try holds(value, .contained, other)
        case "odd", "even":
            guard let last = value.wholeDigits?.utf8.last else {
                throw failure("'\(name)' needs a whole number, not \(value.typeName)")
            }
            return (last % 2 != 0) == (name == "odd")
        case "divisibleby":
            guard let integer = value.integer, let divisor = other.integer, divisor != 0 else {
                throw failure("'divisibleby' needs two whole numbers")
            }
            return integer.isMultiple(of: divisor)
        case "lower": return PythonText.satisfies("islower", try text(of: value))
        case "upper": return PythonText.satisfies("isupper", try text(of: value))
        case "escaped":
            if case .markup = value { return true }
            return false
        default: throw failure("No test named '\(name)'.")
        }
    }
}

extension TemplateInterpreter {
    /// The filters of Jinja 3.1, which the test `filter` knows.
    static let jinjaFilters: Set<String> = [
        "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
        "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items", "join",
        "last",
        "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace",
        "reverse",
        "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson",
        "trim",
        "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
    ]

    /// The tests of Jinja 3.1, which the test `test` knows.
    static let jinjaTests: Set<String> = [
        "!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped",
        "even", "false", "filter", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan",
        "lower", "lt", "mapping", "ne", "none", "number", "odd", "sameas", "sequence", "string", "test", "true",
        "undefined", "upper",
    ]
}
