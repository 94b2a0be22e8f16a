extension TemplateParser {
    /// The name of a filter and its arguments, without the pipe.
    mutating func parseFilterName() throws(TemplateError) -> TemplateCallSyntax {
        var name = try expectName()
        while skip(".") { name += "." + (try expectName()) }
        return TemplateCallSyntax(name: name, arguments: current == .symbol("(") ? try parseArguments() : [])
    }

    mutating func parseFilterOrTest(_ base: TemplateExpression) throws(TemplateError) -> TemplateExpression? {
        if skip("|") { return .filter(base, try parseFilterName()) }
        if skip(name: "is") {
            let isNegated = skip(name: "not")
            var name = try expectName()
            while skip(".") { name += "." + (try expectName()) }
            return .test(
                base,
                TemplateCallSyntax(name: name, arguments: try parseTestArguments()),
                isNegated: isNegated
            )
        }
        return current == .symbol("(") ? .call(base, try parseArguments()) : nil
    }

    /// A test takes arguments in parentheses, or one value without them.
    private mutating func parseTestArguments() throws(TemplateError) -> [TemplateArgument] {
        switch current {
        case .symbol("("):
            return try parseArguments()
        case .name("else"), .name("or"), .name("and"):
            return []
        case .name("is"):
            throw failure("You cannot chain multiple tests with is")
        case .name, .string, .integer, .largeInteger, .double, .symbol("["), .symbol("{"):
            var value = try nested { parser throws(TemplateError) in try parser.parsePrimary() }
            var count = 0
            while let longer = try parsePostfix(value) {
                value = longer
                count += 1
                guard count < Self.longestPostfix else { throw failure("the expression is too long") }
            }
            return [TemplateArgument(kind: .position, value: value)]
        default:
            return []
        }
    }
}
