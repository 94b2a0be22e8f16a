import Glibc

extension TemplateInterpreter {
    mutating func negated(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        if case .double(let number) = value { return .double(-number) }
        if case .largeInteger(let digits) = value {
            return .whole(digits.hasPrefix("-") ? String(digits.dropFirst()) : "-" + digits)
        }
        guard let integer = value.integer else { throw failure("bad operand type for unary -: '\(value.typeName)'") }
        return .integer(try whole(0.subtractingReportingOverflow(integer)))
    }

    private func whole(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> Int {
        guard !result.overflow else { throw failure("a number does not fit in 64 bits") }
        return result.partialValue
    }

    mutating func evaluateChain(
        _ first: TemplateExpression,
        _ rest: [(TemplateExpression.Operator, TemplateExpression)]
    ) throws(TemplateError) -> TemplateValue {
        var value = try evaluate(first)
        for (step, expression) in rest { value = try combine(value, step, try evaluate(expression)) }
        return value
    }

    private mutating func combine(
        _ left: TemplateValue,
        _ step: TemplateExpression.Operator,
        _ right: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        for case .undefined(let reason) in [left, right] { throw failure(reason) }
        if let left = left.integer, let right = right.integer { return try combine(left, step, right) }
        if let leftNumber = left.number, let rightNumber = right.number {
            guard left.isDouble || right.isDouble else {
                throw failure("arithmetic with a number of more than 64 bits is not supported in chat templates")
            }
            return try combine(leftNumber, step, rightNumber)
        }
        switch (step, left, right) {
        case (.add, .list(let a), .list(let b)):
            return try made(a.elements + b.elements)
        case (.add, .tuple(let a), .tuple(let b)):
            try spend(1 + a.elements.count + b.elements.count)
            return .tuple(a.elements + b.elements)
        case (.add, .string(let a), .string(let b)):
            try spendBytes(a.utf8.count + b.utf8.count)
            return .string(a + b)
        case (.add, _, _):
            if let a = left.text, let b = right.text { return try joinedMarkup(left, a, right, b) }
        case (.multiply, _, _):
            if let count = right.integer { return try repeated(left, count, step, right) }
            if let count = left.integer { return try repeated(right, count, step, left) }
        case (.remainder, .string(let format), _):
            return try made(try formatted(format, right))
        default: break
        }
        throw failure(
            "unsupported operand type(s) for \(step.rawValue): '\(left.typeName)' and '\(right.typeName)'"
        )
    }

    private mutating func joinedMarkup(
        _ left: TemplateValue,
        _ leftText: String,
        _ right: TemplateValue,
        _ rightText: String
    ) throws(TemplateError) -> TemplateValue {
        var parts = [leftText, rightText]
        if case .string = left { parts[0] = TemplateValue.escapedForHTML(leftText) }
        if case .string = right { parts[1] = TemplateValue.escapedForHTML(rightText) }
        let text = parts.joined()
        try spendBytes(text.utf8.count)
        return .markup(text)
    }

    private mutating func repeated(
        _ value: TemplateValue,
        _ count: Int,
        _ step: TemplateExpression.Operator,
        _ other: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        let count = max(0, count)
        if let text = value.text {
            try spendBytes(try whole(text.utf8.count.multipliedReportingOverflow(by: count)))
            return .string(String(repeating: text, count: count))
        }
        guard case .list(let list) = value else {
            throw failure("unsupported operand type(s) for *: '\(value.typeName)' and '\(other.typeName)'")
        }
        let total = try whole(list.elements.count.multipliedReportingOverflow(by: count))
        guard total <= limits.elements else { throw failure("the template makes a list of \(total) elements") }
        return try made(Array(repeatElement(list.elements, count: count).joined()))
    }

    private func combine(
        _ left: Int,
        _ step: TemplateExpression.Operator,
        _ right: Int
    ) throws(TemplateError) -> TemplateValue {
        switch step {
        case .add: return .integer(try whole(left.addingReportingOverflow(right)))
        case .subtract: return .integer(try whole(left.subtractingReportingOverflow(right)))
        case .multiply: return .integer(try whole(left.multipliedReportingOverflow(by: right)))
        case .divide:
            guard right != 0 else { throw failure("division by zero") }
            return .double(Double(left) / Double(right))
        case .floorDivide, .remainder:
            guard right != 0 else { throw failure("integer division or modulo by zero") }
            guard right != -1 else {
                return step == .remainder ? .integer(0) : .integer(try whole(0.subtractingReportingOverflow(left)))
            }
            let (quotient, remainder) = left.quotientAndRemainder(dividingBy: right)
            let isOff = remainder != 0 && (remainder < 0) != (right < 0)
            return .integer(
                step == .remainder ? (isOff ? remainder + right : remainder) : (isOff ? quotient - 1 : quotient)
            )
        case .power:
            guard right >= 0 else { return .double(pow(Double(left), Double(right))) }
            var result = 1
            // Only -1, 0 and 1 survive more than 63 steps.
            for _ in 0..<min(right, abs(left) < 2 ? right % 2 + 2 : right) {
                result = try whole(result.multipliedReportingOverflow(by: left))
            }
            return .integer(right == 0 ? 1 : result)
        }
    }

    private func combine(
        _ left: Double,
        _ step: TemplateExpression.Operator,
        _ right: Double
    ) throws(TemplateError) -> TemplateValue {
        switch step {
        case .add: return .double(left + right)
        case .subtract: return .double(left - right)
        case .multiply: return .double(left * right)
        case .divide, .floorDivide, .remainder:
            guard right != 0 else { throw failure("float division by zero") }
            if step == .divide { return .double(left / right) }
            let quotient = (left / right).rounded(.down)
            return .double(step == .floorDivide ? quotient : left - quotient * right)
        case .power: return .double(pow(left, right))
        }
    }

    mutating func evaluateComparison(
        _ first: TemplateExpression,
        _ rest: [(TemplateExpression.Comparison, TemplateExpression)]
    ) throws(TemplateError) -> TemplateValue {
        var left = try evaluate(first)
        for (comparison, expression) in rest {
            let right = try evaluate(expression)
            guard try holds(left, comparison, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    /// Whether a comparison holds.
    mutating func holds(
        _ left: TemplateValue,
        _ comparison: TemplateExpression.Comparison,
        _ right: TemplateValue
    ) throws(TemplateError) -> Bool {
        try visit(left)
        try visit(right)
        switch comparison {
        case .equal: return left.equals(right)
        case .notEqual: return !left.equals(right)
        case .contained: return try contains(right, left)
        case .notContained: return !(try contains(right, left))
        case .less, .lessOrEqual, .greater, .greaterOrEqual:
            for case .undefined(let reason) in [left, right] { throw failure(reason) }
            guard let isLess = left.precedes(right), let isGreater = right.precedes(left) else {
                throw failure(
                    "'\(comparison.rawValue)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'"
                )
            }
            switch comparison {
            case .less: return isLess
            case .lessOrEqual: return isLess || left.equals(right)
            case .greater: return isGreater
            default: return isGreater || left.equals(right)
            }
        }
    }

    private mutating func contains(_ container: TemplateValue, _ element: TemplateValue) throws(TemplateError) -> Bool {
        switch container {
        case .string(let text), .markup(let text):
            guard let part = element.text else {
                throw failure("'in <string>' requires string as left operand, not \(element.typeName)")
            }
            try spendBytes(text.utf8.count)
            return part.isEmpty || !PythonText.ranges(of: Array(part.utf8), in: Array(text.utf8), limit: 1).isEmpty
        case .dictionary(let dictionary):
            if let text = element.text { try scan(text) }
            return dictionary[element] != nil
        case .list(let list), .tuple(let list):
            try spend(list.elements.count)
            return list.elements.contains { $0.equals(element) }
        case .undefined: return false
        default: throw failure("argument of type '\(container.typeName)' is not iterable")
        }
    }
}
