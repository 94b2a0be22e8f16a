extension TemplateInterpreter {
    mutating func evaluate(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        try spend()
        switch expression {
        case .literal(let value):
            try visit(value)
            return filledIn(value)
        case .name(let name):
            try spend(scopes.count / 8)
            return lookUp(name)
        default: return try deeper { inner throws(TemplateError) in try inner.evaluateCompound(expression) }
        }
    }

    private mutating func evaluateCompound(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        switch expression {
        case .literal(let value): return value
        case .name(let name): return lookUp(name)
        case .list(let items): return try checked(.list(try evaluateAll(items)))
        case .tuple(let items): return try checked(.tuple(try evaluateAll(items)))
        case .dictionary(let entries): return try evaluateDictionary(entries)
        case .attribute(let base, let name): return try attribute(name, of: try evaluate(base))
        case .item(let base, let key): return try item(try evaluate(key), of: try evaluate(base))
        case .slice(let base, let start, let stop, let step): return try slice(base, start, stop, step)
        case .call(let callee, let arguments): return try evaluateCall(callee, arguments)
        case .filter(let base, let filter):
            return try apply(filter.name, to: try evaluate(base), try evaluate(filter.arguments))
        case .test(let base, let test, let isNegated):
            return .bool(try passes(test.name, try evaluate(base), try evaluate(test.arguments)) != isNegated)
        case .negate(let value): return try negated(try evaluate(value))
        case .plus(let value): return try evaluate(value)
        case .not(let value): return .bool(!(try evaluate(value).isTrue))
        case .and(let values): return try firstValue(values, where: false)
        case .or(let values): return try firstValue(values, where: true)
        case .chain(let first, let rest): return try evaluateChain(first, rest)
        case .concatenate(let values):
            var text = ""
            for value in values {
                text += try self.text(of: try evaluate(value))
                try spendBytes(text.utf8.count)
            }
            return .string(text)
        case .compare(let first, let rest): return try evaluateComparison(first, rest)
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(value) }
            guard let otherwise else {
                return .undefined("the inline if-expression evaluated to false and no else section was defined")
            }
            return try evaluate(otherwise)
        }
    }

    /// `{today}` and `{yesterday}` in the template's own texts, if the caller enables them.
    private func filledIn(_ value: TemplateValue) -> TemplateValue {
        guard fillsPlaceholders, case .string(let text) = value, text.utf8.contains(UInt8(ascii: "{")) else {
            return value
        }
        let today = PythonText.replace(text, "{today}", date.formatted("%Y-%m-%d"), limit: -1)
        return .string(PythonText.replace(today, "{yesterday}", date.yesterday.formatted("%Y-%m-%d"), limit: -1))
    }

    private mutating func evaluateAll(_ items: [TemplateExpression]) throws(TemplateError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        for item in items {
            let value = try evaluate(item)
            if case .namespace = value { throw failure("a namespace cannot be an element of a list") }
            values.append(value)
        }
        return values
    }

    private mutating func evaluateDictionary(
        _ entries: [(key: TemplateExpression, value: TemplateExpression)]
    ) throws(TemplateError) -> TemplateValue {
        var dictionary = TemplateDictionary()
        for entry in entries {
            let values = try evaluateAll([entry.key, entry.value])
            if values[0].depth > 0, case .tuple = values[0] {
            } else if values[0].depth > 0 {
                throw failure("unhashable type: '\(values[0].typeName)'")
            }
            if let text = values[0].text { try scan(text) } else { try visit(values[0]) }
            dictionary.set(values[0], values[1])
        }
        return try checked(.dictionary(dictionary))
    }

    mutating func evaluate(_ arguments: [TemplateArgument]) throws(TemplateError) -> TemplateArguments {
        var result = TemplateArguments()
        for argument in arguments {
            let value = try evaluate(argument.value)
            try visit(value)
            switch argument.kind {
            case .position: result.positions.append(value)
            case .keyword(let name): result.set(name, value)
            case .spread:
                guard let elements = try elements(of: value) else {
                    throw failure("argument after * must be iterable")
                }
                try spend(elements.count)
                result.positions += elements
            case .spreadKeywords:
                guard case .dictionary(let dictionary) = value else {
                    throw failure("argument after ** must be a mapping")
                }
                try spend(dictionary.entries.count)
                for entry in dictionary.entries { result.set(try text(of: entry.key), entry.value) }
            }
        }
        return result
    }

    private mutating func firstValue(
        _ values: [TemplateExpression],
        where isWanted: Bool
    ) throws(TemplateError) -> TemplateValue {
        var last = TemplateValue.none
        for value in values {
            last = try evaluate(value)
            if last.isTrue == isWanted { return last }
        }
        return last
    }

    // MARK: Parts of values

    /// `base.name`: what Jinja's sandbox gives, first the attribute, then the item.
    func attribute(_ name: String, of base: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch base {
        case .undefined(let reason): throw failure(reason)
        case .dictionary(let dictionary):
            return dictionary[name] ?? .undefined("'dict object' has no attribute '\(name)'")
        case .namespace(let namespace):
            return namespace.values[Array(name.utf8)] ?? .undefined("namespace has no attribute '\(name)'")
        case .loop(let loop): return loop.attribute(name)
        case .iterator(let iterator): return iterator.attribute(name)
        case .tuple(let list) where list.names.contains(name):
            return zip(list.names, list.elements).first { $0.0 == name }?.1 ?? .none
        default: return .undefined("'\(base.typeName) object' has no attribute '\(name)'")
        }
    }

    /// `base[key]`: first the item, then the attribute.
    mutating func item(_ key: TemplateValue, of base: TemplateValue) throws(TemplateError) -> TemplateValue {
        if let text = key.text { try scan(text) } else { try visit(key) }
        if let text = base.text { try scan(text) }
        switch base {
        case .undefined(let reason): throw failure(reason)
        case .dictionary(let dictionary):
            return dictionary[key] ?? .undefined("'dict object' has no attribute \(key.brief)")
        case .list(let list), .tuple(let list):
            guard let index = key.integer else { break }
            let position = index < 0 ? index + list.elements.count : index
            guard list.elements.indices.contains(position) else { break }
            return list.elements[position]
        case .string(let text), .markup(let text):
            guard let index = key.integer else { break }
            let scalars = text.unicodeScalars
            guard abs(index) <= scalars.count else { break }
            let position = index < 0 ? index + scalars.count : index
            guard position < scalars.count else { break }
            return .string(String(scalars[scalars.index(scalars.startIndex, offsetBy: position)]))
        default: break
        }
        if let name = key.text { return try attribute(name, of: base) }
        return .undefined("\(base.typeName) object has no element \(key.brief)")
    }

    private mutating func slice(
        _ base: TemplateExpression,
        _ start: TemplateExpression?,
        _ stop: TemplateExpression?,
        _ step: TemplateExpression?
    ) throws(TemplateError) -> TemplateValue {
        let value = try evaluate(base)
        let bounds = [try bound(start), try bound(stop), try bound(step)]
        try visit(value)
        if case .undefined(let reason) = value { throw failure(reason) }
        if let text = value.text {
            try scan(text)
            let scalars = Array(text.unicodeScalars)
            let indices = try sliceIndices(bounds, count: scalars.count)
            return try made(PythonText.string(indices.lazy.map { scalars[$0] }))
        }
        guard value.depth > 0, let elements = value.elements else {
            throw failure("'\(value.typeName)' object is not subscriptable")
        }
        if case .dictionary = value { throw failure("a dictionary cannot be sliced") }
        let part = try sliceIndices(bounds, count: elements.count).map { elements[$0] }
        guard case .tuple = value else { return try made(part) }
        try spend(part.count)
        return .tuple(part)
    }

    private mutating func bound(_ expression: TemplateExpression?) throws(TemplateError) -> Int? {
        guard let expression else { return nil }
        let value = try evaluate(expression)
        if case .none = value { return nil }
        guard let index = value.integer else {
            throw failure("slice indices must be integers or None, not \(value.typeName)")
        }
        return index
    }

    private func sliceIndices(_ bounds: [Int?], count: Int) throws(TemplateError) -> StrideTo<Int> {
        let step = bounds[2] ?? 1
        guard step != 0 else { throw failure("slice step cannot be zero") }
        func clamp(_ index: Int, _ low: Int, _ high: Int) -> Int {
            min(max(index < 0 ? index + count : index, low), high)
        }
        if step > 0 {
            let start = bounds[0].map { clamp($0, 0, count) } ?? 0
            let stop = bounds[1].map { clamp($0, 0, count) } ?? count
            return stride(from: start, to: stop, by: step)
        }
        let start = bounds[0].map { clamp($0, -1, count - 1) } ?? count - 1
        let stop = bounds[1].map { clamp($0, -1, count - 1) } ?? -1
        return stride(from: start, to: stop, by: max(step, -count - 1))
    }

    // MARK: Calls

    private mutating func evaluateCall(
        _ callee: TemplateExpression,
        _ arguments: [TemplateArgument]
    ) throws(TemplateError) -> TemplateValue {
        if case .attribute(let base, let name) = callee {
            let owner = try evaluate(base)
            if hasMethod(name, owner) { return try callMethod(name, of: owner, try evaluate(arguments)) }
            return try call(try attribute(name, of: owner), try evaluate(arguments))
        }
        return try call(try evaluate(callee), try evaluate(arguments))
    }

    private mutating func call(
        _ callee: TemplateValue,
        _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch callee {
        case .macro(let macro): return try call(macro, arguments, caller: nil)
        case .function(let name): return try callFunction(name, arguments)
        case .iterator(let iterator) where iterator.items == nil:
            defer { iterator.isUsed = true }
            return iterator.isUsed ? iterator.separator : .string("")
        case .undefined(let reason): throw failure(reason)
        default: throw failure("'\(callee.typeName)' object is not callable")
        }
    }

    /// Runs filters one after the other.
    mutating func filtered(
        _ value: TemplateValue,
        _ filters: [TemplateCallSyntax]
    ) throws(TemplateError) -> TemplateValue {
        var value = value
        for filter in filters { value = try apply(filter.name, to: value, try evaluate(filter.arguments)) }
        return value
    }
}

extension TemplateLoop {
    /// The attributes of `loop`.
    func attribute(_ name: String) -> TemplateValue {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .integer(items.count)
        // The depth of recursion, of which there is none.
        case "depth": .integer(1)
        case "depth0": .integer(0)
        case "previtem": index > 0 ? items[index - 1] : .undefined("there is no previous item")
        case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined("there is no next item")
        default: .undefined("'LoopContext' has no attribute '\(name)'")
        }
    }
}

extension TemplateIterator {
    /// The methods of `cycler` and `joiner`.
    func attribute(_ name: String) -> TemplateValue {
        guard let items else {
            switch name {
            case "sep": return separator
            case "used": return .bool(isUsed)
            default: return .undefined("'Joiner object' has no attribute '\(name)'")
            }
        }
        switch name {
        case "items": return .tuple(items)
        case "pos": return .integer(position)
        case "current": return items.elements[position]
        default: return .undefined("'Cycler object' has no attribute '\(name)'")
        }
    }
}
