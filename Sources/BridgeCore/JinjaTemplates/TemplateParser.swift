/// Builds the statements of a template from its tokens.
struct TemplateParser {
    private var tokens: [TemplateToken]
    private var index = 0
    var depth = 0

    /// Deeper nesting is refused, so that no template runs the parser or the interpreter out of stack.
    static let deepestNesting = 60

    static func parse(_ template: String) throws(TemplateError) -> [TemplateStatement] {
        var lexer = TemplateLexer(template)
        var parser = TemplateParser(tokens: try lexer.run())
        return try parser.parseBody(until: []).body
    }

    private init(tokens: [TemplateToken]) {
        self.tokens = tokens
    }

    // MARK: Tokens

    var current: TemplateToken.Kind { tokens[index].kind }
    var line: Int { tokens[index].line }

    func next(_ offset: Int = 1) -> TemplateToken.Kind {
        tokens[min(index + offset, tokens.count - 1)].kind
    }

    mutating func advance() {
        if index + 1 < tokens.count { index += 1 }
    }

    func failure(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: line)
    }

    mutating func skip(_ kind: TemplateToken.Kind) -> Bool {
        guard current == kind else { return false }
        advance()
        return true
    }

    mutating func skip(_ symbol: String) -> Bool { skip(.symbol(symbol)) }
    mutating func skip(name: String) -> Bool { skip(.name(name)) }

    mutating func expect(_ kind: TemplateToken.Kind) throws(TemplateError) {
        guard skip(kind) else {
            throw failure("expected \(TemplateParser.describe(kind)), found \(TemplateParser.describe(current))")
        }
    }

    mutating func expectName() throws(TemplateError) -> String {
        guard case .name(let name) = current else {
            throw failure("expected a name, found \(TemplateParser.describe(current))")
        }
        advance()
        return name
    }

    static func describe(_ kind: TemplateToken.Kind) -> String {
        switch kind {
        case .text: "text"
        case .outputBegin: "'{{'"
        case .outputEnd: "'}}'"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .name(let name): "'\(name)'"
        case .string: "a string"
        case .integer, .largeInteger, .double: "a number"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end of the template"
        }
    }

    /// Runs `body` one level deeper.
    mutating func nested<Result>(
        _ body: (inout TemplateParser) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        guard depth < Self.deepestNesting else {
            throw failure("the template nests more than \(Self.deepestNesting) levels deep")
        }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }

    // MARK: Statements

    /// Statements until a tag with one of these names, whose name is consumed; none means until the end.
    private mutating func parseBody(
        until names: Set<String>
    ) throws(TemplateError) -> (body: [TemplateStatement], end: String) {
        var body: [TemplateStatement] = []
        while true {
            let line = self.line
            switch current {
            case .text(let text):
                advance()
                body.append(TemplateStatement(kind: .text(text), line: line))
            case .outputBegin:
                advance()
                let value = try parseTuple()
                try expect(.outputEnd)
                body.append(TemplateStatement(kind: .output(value), line: line))
            case .blockBegin:
                advance()
                let name = try expectName()
                if names.contains(name) { return (body, name) }
                let kind = try nested { parser throws(TemplateError) in try parser.parseStatement(name, line: line) }
                body.append(TemplateStatement(kind: kind, line: line))
            case .end:
                guard names.isEmpty else {
                    throw failure(
                        "the template ends before \(names.sorted().map { "'\($0)'" }.joined(separator: " or "))"
                    )
                }
                return (body, "")
            default:
                throw failure("unexpected \(Self.describe(current))")
            }
        }
    }

    /// A body that ends with one tag, and the end of that tag.
    private mutating func parseBlock(_ end: String) throws(TemplateError) -> [TemplateStatement] {
        try expect(.blockEnd)
        let body = try parseBody(until: [end]).body
        if end == "endmacro" || end == "endcall", case .name = current { advance() }
        try expect(.blockEnd)
        return body
    }

    private mutating func parseStatement(
        _ name: String,
        line: Int
    ) throws(TemplateError) -> TemplateStatement.Kind {
        switch name {
        case "if": return try parseIf()
        case "for": return try parseFor()
        case "set": return try parseSet()
        case "macro":
            let name = try expectName()
            let parameters = try parseParameters()
            return .macro(TemplateMacroSyntax(name: name, parameters: parameters, body: try parseBlock("endmacro")))
        case "call":
            var parameters: [(name: String, value: TemplateExpression?)] = []
            if current == .symbol("(") { parameters = try parseParameters() }
            let callee = try parseExpression()
            guard case .call = callee else { throw failure("expected a call after 'call'") }
            let body = try parseBlock("endcall")
            return .call(callee, caller: TemplateMacroSyntax(name: "caller", parameters: parameters, body: body))
        case "filter":
            let filters = try parseFilters()
            return .filter(filters, body: try parseBlock("endfilter"))
        case "with":
            var values: [(TemplateTarget, TemplateExpression)] = []
            while current != .blockEnd {
                if !values.isEmpty { try expect(.symbol(",")) }
                let target = try parseTarget(allowsAttribute: false)
                try expect(.symbol("="))
                values.append((target, try parseExpression()))
            }
            return .with(values, body: try parseBlock("endwith"))
        case "generation":
            return .generation(try parseBlock("endgeneration"))
        case "break", "continue":
            try expect(.blockEnd)
            return name == "break" ? .break : .continue
        case "block", "extends", "include", "import", "from", "autoescape", "trans", "do":
            throw TemplateError(.syntax, "the tag '\(name)' is not supported in chat templates", line: line)
        default:
            throw TemplateError(.syntax, "Encountered unknown tag '\(name)'.", line: line)
        }
    }

    private mutating func parseIf() throws(TemplateError) -> TemplateStatement.Kind {
        var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
        var otherwise: [TemplateStatement] = []
        var end = "elif"
        while end == "elif" {
            let condition = try parseTuple(allowsConditional: false)
            try expect(.blockEnd)
            let part = try parseBody(until: ["elif", "else", "endif"])
            branches.append((condition, part.body))
            end = part.end
        }
        if end == "else" {
            try expect(.blockEnd)
            otherwise = try parseBody(until: ["endif"]).body
        }
        try expect(.blockEnd)
        return .conditional(branches, otherwise: otherwise)
    }

    private mutating func parseFor() throws(TemplateError) -> TemplateStatement.Kind {
        let target = try parseTarget(allowsAttribute: false, endsAtIn: true)
        try expect(.name("in"))
        let items = try parseTuple(allowsConditional: false)
        let condition = skip(name: "if") ? try parseExpression() : nil
        if current == .name("recursive") { throw failure("recursive loops are not supported in chat templates") }
        try expect(.blockEnd)
        let part = try parseBody(until: ["else", "endfor"])
        var otherwise: [TemplateStatement] = []
        if part.end == "else" {
            try expect(.blockEnd)
            otherwise = try parseBody(until: ["endfor"]).body
        }
        try expect(.blockEnd)
        return .loop(
            TemplateLoopSyntax(
                target: target,
                items: items,
                condition: condition,
                body: part.body,
                otherwise: otherwise
            )
        )
    }

    private mutating func parseSet() throws(TemplateError) -> TemplateStatement.Kind {
        let target = try parseTarget(allowsAttribute: true)
        if skip("=") {
            let value = try parseTuple()
            try expect(.blockEnd)
            return .set(target, value)
        }
        let filters = current == .symbol("|") ? try parseFilters(startsWithPipe: true) : []
        return .setBlock(target, filters: filters, body: try parseBlock("endset"))
    }

    private mutating func parseTarget(
        allowsAttribute: Bool,
        endsAtIn: Bool = false
    ) throws(TemplateError) -> TemplateTarget {
        var targets: [TemplateTarget] = []
        var isTuple = false
        repeat {
            if endsAtIn, current == .name("in") { break }
            if current == .symbol("=") || current == .blockEnd { break }
            if skip("(") {
                let inner = try nested { parser throws(TemplateError) in
                    try parser.parseTarget(allowsAttribute: allowsAttribute)
                }
                try expect(.symbol(")"))
                targets.append(inner)
            } else {
                let name = try expectName()
                guard !Self.constants.contains(name) else { throw failure("can't assign to '\(name)'") }
                if allowsAttribute, skip(".") {
                    targets.append(.attribute(try expectName(), of: name))
                } else {
                    targets.append(.name(name))
                }
            }
            if current == .symbol(",") { isTuple = true }
        } while skip(",")
        guard let first = targets.first else { throw failure("expected a name to assign to") }
        return isTuple ? .tuple(targets) : first
    }

    private static let constants: Set<String> = ["true", "false", "none", "True", "False", "None"]

    private mutating func parseParameters() throws(TemplateError) -> [(name: String, value: TemplateExpression?)] {
        var parameters: [(name: String, value: TemplateExpression?)] = []
        try expect(.symbol("("))
        while current != .symbol(")") {
            if !parameters.isEmpty { try expect(.symbol(",")) }
            let name = try expectName()
            if skip("=") {
                parameters.append((name, try parseExpression()))
            } else if let last = parameters.last, last.value != nil {
                throw failure("non-default argument follows default argument")
            } else {
                parameters.append((name, nil))
            }
        }
        try expect(.symbol(")"))
        return parameters
    }

    private mutating func parseFilters(startsWithPipe: Bool = false) throws(TemplateError) -> [TemplateCallSyntax] {
        var filters: [TemplateCallSyntax] = []
        if startsWithPipe { try expect(.symbol("|")) }
        repeat { filters.append(try parseFilterName()) } while skip("|")
        return filters
    }
}
