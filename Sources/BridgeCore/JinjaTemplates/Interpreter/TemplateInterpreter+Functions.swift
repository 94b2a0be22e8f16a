extension TemplateInterpreter {
    /// The functions that transformers gives to templates.
    static let functions: Set<String> = [
        "range", "namespace", "dict", "raise_exception", "strftime_now", "cycler", "joiner",
    ]

    mutating func callFunction(_ name: String, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
        switch name {
        case "range": return try range(arguments)
        case "namespace":
            let namespace = TemplateNamespace()
            for case .dictionary(let dictionary) in arguments.positions {
                for entry in dictionary.entries { try assign(entry.value, to: try text(of: entry.key), of: namespace) }
            }
            for (name, value) in arguments.named { try assign(value, to: name, of: namespace) }
            return .namespace(namespace)
        case "cycler":
            guard !arguments.positions.isEmpty else { throw failure("at least one item has to be provided") }
            try refuseNamespaces(arguments.positions)
            try holdElements(arguments.positions.count)
            return .iterator(TemplateIterator(items: arguments.positions))
        case "joiner":
            let separator = arguments.value(0, "sep") ?? .string(", ")
            try refuseNamespaces([separator])
            return .iterator(TemplateIterator(separator: separator))
        case "dict":
            var dictionary = TemplateDictionary()
            guard arguments.positions.count <= 1 else { throw failure("dict expected at most 1 argument") }
            for other in arguments.positions {
                let entries = try self.entries(of: other)
                try spend(entries.count)
                try holdElements(entries.count, bytesEach: 2 * TemplateValue.elementBytes)
                for entry in entries { dictionary.set(entry.key, entry.value) }
            }
            for (name, value) in arguments.named { dictionary.set(.string(name), value) }
            return try checked(.dictionary(dictionary))
        case "raise_exception":
            let given = try arguments.value(0, "message").map { value throws(TemplateError) in try text(of: value) }
            let message = given ?? "the template refused the conversation"
            throw TemplateError(.refusal, message, line: line)
        case "strftime_now":
            guard let format = arguments.value(0, "format")?.text else { throw failure("strftime_now needs a format") }
            try spendBytes(format.utf8.count * 32)
            return .string(date.formatted(format))
        default:
            throw failure("'\(name)' is undefined")
        }
    }

    /// The entries of a mapping, or of a list of pairs.
    private mutating func entries(
        of value: TemplateValue
    ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
        if case .dictionary(let dictionary) = value { return dictionary.entries }
        guard let pairs = try elements(of: value) else {
            throw failure("'\(value.typeName)' object is not iterable")
        }
        var entries: [(key: TemplateValue, value: TemplateValue)] = []
        for pair in pairs {
            guard let parts = try elements(of: pair), parts.count == 2, parts[0].depth == 0 else {
                throw failure("dict needs a mapping or a list of pairs of a key and a value")
            }
            entries.append((parts[0], parts[1]))
        }
        return entries
    }

    /// Objects that store values must not contain a namespace, so that values form no cycles.
    private func refuseNamespaces(_ values: [TemplateValue]) throws(TemplateError) {
        for value in values {
            switch value {
            case .namespace, .macro, .loop, .iterator:
                throw failure("a cycler or joiner cannot hold a \(value.typeName)")
            default: break
            }
        }
    }

    private mutating func range(_ arguments: TemplateArguments) throws(TemplateError) -> TemplateValue {
        let numbers = arguments.positions.compactMap(\.integer)
        guard (1...3).contains(numbers.count), numbers.count == arguments.positions.count else {
            throw failure("range needs one to three whole numbers")
        }
        let start = numbers.count == 1 ? 0 : numbers[0]
        let stop = numbers.count == 1 ? numbers[0] : numbers[1]
        let step = numbers.count == 3 ? numbers[2] : 1
        guard step != 0 else { throw failure("range() arg 3 must not be zero") }
        let (distance, overflow) = stop.subtractingReportingOverflow(start)
        guard !overflow, distance / step <= limits.elements else {
            throw failure("Range too big. The sandbox blocks ranges larger than \(limits.elements).")
        }
        return try made(stride(from: start, to: stop, by: step).map { .integer($0) })
    }

    // MARK: Methods

    private static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper",
        "lower",
        "title", "capitalize", "join", "find", "rfind", "index", "count", "isdigit", "isalpha", "isspace", "isupper",
        "islower",
        "isalnum", "format", "removeprefix", "removesuffix", "zfill", "encode", "partition", "rpartition", "center",
        "ljust",
        "rjust", "swapcase", "casefold", "expandtabs", "isascii", "isdecimal", "isnumeric", "isidentifier",
        "isprintable",
        "istitle", "rindex", "format_map", "translate", "maketrans",
    ]

    /// Whether a name after a dot is a method of the value; templates use methods only to call them.
    func hasMethod(_ name: String, _ owner: TemplateValue) -> Bool {
        switch owner {
        case .string, .markup: Self.stringMethods.contains(name)
        case .dictionary:
            ["items", "keys", "values", "get", "copy", "pop", "popitem", "update", "setdefault", "clear"].contains(name)
        case .list:
            ["index", "count", "copy", "append", "extend", "insert", "pop", "remove", "sort", "reverse", "clear"]
                .contains(name)
        case .tuple: ["index", "count"].contains(name)
        case .loop: ["cycle", "changed"].contains(name)
        case .iterator(let iterator): iterator.items != nil && ["next", "reset"].contains(name)
        case .double: name == "is_integer"
        default: false
        }
    }

    mutating func callMethod(
        _ name: String,
        of owner: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch owner {
        case .string(let text), .markup(let text):
            return try callMethod(name, ofText: text, arguments)
        case .dictionary(let dictionary):
            try spend(dictionary.entries.count)
            if let key = arguments.positions.first { try visit(key) }
            switch name {
            case "items":
                try holdElements(dictionary.entries.count, bytesEach: 3 * TemplateValue.elementBytes)
                return .list(dictionary.entries.map { .tuple([$0.key, $0.value]) })
            case "keys": return .list(dictionary.entries.map(\.key))
            case "values": return .list(dictionary.entries.map(\.value))
            case "get":
                return arguments.positions.first.flatMap { dictionary[$0] } ?? arguments.value(1, "default") ?? .none
            case "copy": return owner
            default: break
            }
        case .list(let list), .tuple(let list):
            try spend(list.elements.count)
            try visit(owner)
            switch name {
            case "index":
                let bounds = try bounds(arguments, count: list.elements.count)
                guard let element = arguments.positions.first, let bounds,
                    let index = list.elements[bounds].firstIndex(where: { $0.equals(element) })
                else { throw failure("the element is not in the list") }
                return .integer(index)
            case "count":
                guard let element = arguments.positions.first else { throw failure("count needs an element") }
                return .integer(list.elements.count { $0.equals(element) })
            case "copy": return owner
            default: break
            }
        case .loop(let loop) where name == "cycle":
            guard !arguments.positions.isEmpty else { throw failure("no items for cycling given") }
            return arguments.positions[loop.index % arguments.positions.count]
        case .loop(let loop):
            let value = TemplateValue.tuple(arguments.positions)
            try visit(value)
            if let last = loop.memory.changed, last.equals(value) { return .bool(false) }
            loop.memory.changed = value
            return .bool(true)
        case .iterator(let iterator):
            guard let items = iterator.items else { break }
            guard name == "next" else {
                iterator.position = 0
                return .none
            }
            defer { iterator.position = (iterator.position + 1) % items.elements.count }
            return items.elements[iterator.position]
        case .double(let number): return .bool(number.isFinite && number == number.rounded())
        default: break
        }
        throw failure("access to attribute '\(name)' of '\(owner.typeName)' object is unsafe.")
    }

    private mutating func callMethod(
        _ name: String,
        ofText text: String,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        try scan(text)
        let first = arguments.positions.first
        if let text = first?.text { try scan(text) }
        switch name {
        case "strip", "lstrip", "rstrip":
            return .string(PythonText.strip(text, first?.text, left: name != "rstrip", right: name != "lstrip"))
        case "upper": return try made(text.uppercased())
        case "lower": return try made(PythonText.lowered(text))
        case "title": return try made(PythonText.title(text))
        case "capitalize": return try made(PythonText.capitalize(text))
        case "split", "rsplit":
            let separator = arguments.value(0, "sep")?.text
            guard separator?.isEmpty != true else { throw failure("empty separator") }
            let limit = arguments.value(1, "maxsplit")?.integer ?? -1
            try holdElements(PythonText.partCount(text, separator, limit: limit))
            try hold(text.utf8.count)
            let parts = PythonText.split(text, separator, limit: limit, fromRight: name == "rsplit")
            return try made(parts.map { .string($0) })
        case "splitlines":
            let keepsEnds = arguments.value(0, "keepends")?.isTrue ?? false
            try holdElements(PythonText.lineCount(text))
            try hold(text.utf8.count)
            return try made(PythonText.lines(text, keepingEnds: keepsEnds).map { .string($0) })
        case "partition", "rpartition": return try partition(text, first?.text, fromRight: name == "rpartition")
        case "startswith", "endswith":
            guard let (text, _) = try part(of: text, arguments) else { return .bool(false) }
            var parts = [first?.text]
            if case .tuple(let list) = first { parts = list.elements.map(\.text) }
            for part in parts {
                guard let part else { throw failure("\(name) first arg must be str or a tuple of str") }
                let isThere =
                    name == "startswith"
                    ? text.utf8.starts(with: part.utf8) : text.utf8.reversed().starts(with: part.utf8.reversed())
                if isThere { return .bool(true) }
            }
            return .bool(false)
        case "replace":
            guard let old = first?.text, let new = arguments.value(1, "new")?.text else {
                throw failure("replace needs two strings")
            }
            return try replaced(text, old, new, limit: arguments.value(2, "count")?.integer ?? -1)
        case "join":
            return try joined(first ?? .none, separator: text, attribute: nil)
        case "find", "rfind", "index", "rindex", "count":
            return try find(name, first?.text, in: text, arguments)
        case "format": return try made(try braceFormatted(text, arguments))
        case "removeprefix", "removesuffix":
            guard let part = first?.text else { throw failure("\(name) needs a string") }
            return .string(PythonText.removed(part, from: text, atEnd: name == "removesuffix"))
        case "isdigit", "isalpha", "isspace", "isupper", "islower", "isalnum", "isascii", "isdecimal", "isnumeric",
            "isprintable", "isidentifier", "istitle":
            return .bool(PythonText.satisfies(name, text))
        default: return try callOtherMethod(name, ofText: text, arguments)
        }
    }

    mutating func replaced(_ text: String, _ old: String, _ new: String, limit: Int) throws(TemplateError)
        -> TemplateValue
    {
        let most = old.isEmpty ? text.utf8.count + 1 : text.utf8.count / old.utf8.count
        let (growth, overflow) = most.multipliedReportingOverflow(by: max(0, new.utf8.count - old.utf8.count))
        // The exact size is computed only if it could exceed the limit.
        if overflow || text.utf8.count + growth > limits.bytes {
            let count = old.isEmpty ? most : PythonText.count(of: old, in: text)
            let (exact, tooFar) = count.multipliedReportingOverflow(by: new.utf8.count)
            try spendBytes(tooFar ? Int.max - 64 : exact)
        }
        return try made(PythonText.replace(text, old, new, limit: limit))
    }

    private mutating func partition(_ text: String, _ separator: String?, fromRight: Bool) throws(TemplateError)
        -> TemplateValue
    {
        guard let separator, !separator.isEmpty else { throw failure("empty separator") }
        let parts = PythonText.split(text, separator, limit: 1, fromRight: fromRight)
        guard parts.count == 2 else {
            return .tuple(
                fromRight ? [.string(""), .string(""), .string(text)] : [.string(text), .string(""), .string("")]
            )
        }
        return .tuple([.string(parts[0]), .string(separator), .string(parts[1])])
    }
}
