extension TemplateParser {
    /// Longer chains of `.name`, `[...]`, `(...)` and filters are refused.
    static let longestPostfix = 120

    /// An expression with `a if b else c`.
    mutating func parseExpression() throws(TemplateError) -> TemplateExpression {
        try nested { parser throws(TemplateError) in
            var value = try parser.parseOr()
            var count = 0
            while parser.skip(name: "if") {
                count += 1
                guard count < TemplateParser.deepestNesting else {
                    throw parser.failure("too many conditions in a row")
                }
                let condition = try parser.parseOr()
                let otherwise = parser.skip(name: "else") ? try parser.parseExpression() : nil
                value = .conditional(value, condition: condition, otherwise: otherwise)
            }
            return value
        }
    }

    /// An expression, or several with commas between them.
    mutating func parseTuple(allowsConditional: Bool = true) throws(TemplateError) -> TemplateExpression {
        var values: [TemplateExpression] = []
        var isTuple = false
        while !isTupleEnd {
            values.append(allowsConditional ? try parseExpression() : try parseOr())
            guard skip(",") else { break }
            isTuple = true
        }
        guard let first = values.first else { throw failure("expected an expression, found \(Self.describe(current))") }
        return isTuple ? .tuple(values) : first
    }

    private var isTupleEnd: Bool {
        switch current {
        case .outputEnd, .blockEnd, .symbol(")"), .end: true
        default: false
        }
    }

    private mutating func parseOr() throws(TemplateError) -> TemplateExpression {
        var values = [try parseAnd()]
        while skip(name: "or") { values.append(try parseAnd()) }
        return values.count == 1 ? values[0] : .or(values)
    }

    private mutating func parseAnd() throws(TemplateError) -> TemplateExpression {
        var values = [try parseNot()]
        while skip(name: "and") { values.append(try parseNot()) }
        return values.count == 1 ? values[0] : .and(values)
    }

    private mutating func parseNot() throws(TemplateError) -> TemplateExpression {
        var count = 0
        while skip(name: "not") { count += 1 }
        let value = try parseComparison()
        if count == 0 { return value }
        return count % 2 == 1 ? .not(value) : .not(.not(value))
    }

    private mutating func parseComparison() throws(TemplateError) -> TemplateExpression {
        let first = try parseSum()
        var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
        while true {
            var comparison: TemplateExpression.Comparison?
            if case .symbol(let symbol) = current { comparison = TemplateExpression.Comparison(rawValue: symbol) }
            if current == .name("in") { comparison = .contained }
            if current == .name("not"), next() == .name("in") {
                advance()
                comparison = .notContained
            }
            guard let comparison else { break }
            advance()
            rest.append((comparison, try parseSum()))
        }
        return rest.isEmpty ? first : .compare(first, rest)
    }

    private mutating func parseSum() throws(TemplateError) -> TemplateExpression {
        let first = try parseConcatenation()
        var rest: [(TemplateExpression.Operator, TemplateExpression)] = []
        while let step = operatorHere([.add, .subtract]) {
            advance()
            rest.append((step, try parseConcatenation()))
        }
        return rest.isEmpty ? first : .chain(first, rest)
    }

    private mutating func parseConcatenation() throws(TemplateError) -> TemplateExpression {
        var values = [try parseProduct()]
        while skip("~") { values.append(try parseProduct()) }
        return values.count == 1 ? values[0] : .concatenate(values)
    }

    private mutating func parseProduct() throws(TemplateError) -> TemplateExpression {
        let first = try parsePower()
        var rest: [(TemplateExpression.Operator, TemplateExpression)] = []
        while let step = operatorHere([.multiply, .divide, .floorDivide, .remainder]) {
            advance()
            rest.append((step, try parsePower()))
        }
        return rest.isEmpty ? first : .chain(first, rest)
    }

    private mutating func parsePower() throws(TemplateError) -> TemplateExpression {
        let first = try parseUnary(allowsFilter: true)
        var rest: [(TemplateExpression.Operator, TemplateExpression)] = []
        while skip("**") { rest.append((.power, try parseUnary(allowsFilter: true))) }
        return rest.isEmpty ? first : .chain(first, rest)
    }

    private func operatorHere(_ allowed: [TemplateExpression.Operator]) -> TemplateExpression.Operator? {
        guard case .symbol(let symbol) = current else { return nil }
        return allowed.first { $0.rawValue == symbol }
    }

    private mutating func parseUnary(allowsFilter: Bool) throws(TemplateError) -> TemplateExpression {
        var value: TemplateExpression
        if skip("-") {
            value = .negate(try nested { parser throws(TemplateError) in try parser.parseUnary(allowsFilter: false) })
        } else if skip("+") {
            value = .plus(try nested { parser throws(TemplateError) in try parser.parseUnary(allowsFilter: false) })
        } else {
            value = try parsePrimary()
        }
        var count = 0
        while let longer = try parsePostfix(value) {
            value = longer
            count += 1
            guard count < Self.longestPostfix else { throw failure("the expression is too long") }
        }
        while allowsFilter, let longer = try parseFilterOrTest(value) {
            value = longer
            count += 1
            guard count < Self.longestPostfix else { throw failure("the expression is too long") }
        }
        return value
    }

    mutating func parsePrimary() throws(TemplateError) -> TemplateExpression {
        let token = current
        switch token {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default: return .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = current {
                text += more
                advance()
            }
            return .literal(.string(text))
        case .largeInteger(let digits):
            advance()
            return .literal(.largeInteger(digits))
        case .integer(let value):
            advance()
            return .literal(.integer(value))
        case .double(let value):
            advance()
            return .literal(.double(value))
        case .symbol("("):
            advance()
            if skip(")") { return .tuple([]) }
            let value = try parseTuple()
            try expect(.symbol(")"))
            return value
        case .symbol("["):
            advance()
            var values: [TemplateExpression] = []
            while current != .symbol("]") {
                if !values.isEmpty { try expect(.symbol(",")) }
                if current == .symbol("]") { break }
                values.append(try parseExpression())
            }
            try expect(.symbol("]"))
            return .list(values)
        case .symbol("{"):
            return try parseDictionary()
        default:
            throw failure("expected an expression, found \(Self.describe(token))")
        }
    }

    private mutating func parseDictionary() throws(TemplateError) -> TemplateExpression {
        advance()
        var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
        while current != .symbol("}") {
            if !entries.isEmpty { try expect(.symbol(",")) }
            if current == .symbol("}") { break }
            let key = try parseExpression()
            try expect(.symbol(":"))
            entries.append((key, try parseExpression()))
        }
        try expect(.symbol("}"))
        return .dictionary(entries)
    }

    mutating func parsePostfix(_ base: TemplateExpression) throws(TemplateError) -> TemplateExpression? {
        if skip(".") {
            if case .integer(let index) = current {
                advance()
                return .item(base, .literal(.integer(index)))
            }
            return .attribute(base, try expectName())
        }
        if skip("[") {
            let value = try parseSubscript(base)
            try expect(.symbol("]"))
            return value
        }
        return current == .symbol("(") ? .call(base, try parseArguments()) : nil
    }

    private mutating func parseSubscript(_ base: TemplateExpression) throws(TemplateError) -> TemplateExpression {
        var parts: [TemplateExpression?] = []
        var isSlice = false
        while true {
            if current == .symbol(":") || current == .symbol("]") {
                parts.append(nil)
            } else {
                parts.append(try parseExpression())
            }
            guard parts.count < 3, skip(":") else { break }
            isSlice = true
        }
        guard isSlice else {
            guard let index = parts[0] else { throw failure("expected an index") }
            return .item(base, index)
        }
        let step = parts.count > 2 ? parts[2] : nil
        return .slice(base, start: parts[0], stop: parts.count > 1 ? parts[1] : nil, step: step)
    }

    mutating func parseArguments() throws(TemplateError) -> [TemplateArgument] {
        try expect(.symbol("("))
        var arguments: [TemplateArgument] = []
        while current != .symbol(")") {
            if !arguments.isEmpty { try expect(.symbol(",")) }
            if current == .symbol(")") { break }
            if skip("**") {
                arguments.append(TemplateArgument(kind: .spreadKeywords, value: try parseExpression()))
            } else if skip("*") {
                arguments.append(TemplateArgument(kind: .spread, value: try parseExpression()))
            } else if case .name(let name) = current, next() == .symbol("=") {
                advance()
                advance()
                arguments.append(TemplateArgument(kind: .keyword(name), value: try parseExpression()))
            } else {
                guard arguments.allSatisfy({ $0.kind == .position || $0.kind == .spread }) else {
                    throw failure("a positional argument follows a keyword argument")
                }
                arguments.append(TemplateArgument(kind: .position, value: try parseExpression()))
            }
        }
        try expect(.symbol(")"))
        return arguments
    }
}
