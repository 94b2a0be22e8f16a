/// A statement of a template, with the line it starts on.
struct TemplateStatement: Sendable {
    /// The kind of a statement.
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case conditional([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(TemplateLoopSyntax)
        case set(TemplateTarget, TemplateExpression)
        case setBlock(TemplateTarget, filters: [TemplateCallSyntax], body: [TemplateStatement])
        case macro(TemplateMacroSyntax)
        case call(TemplateExpression, caller: TemplateMacroSyntax)
        case filter([TemplateCallSyntax], body: [TemplateStatement])
        case with([(TemplateTarget, TemplateExpression)], body: [TemplateStatement])
        case generation([TemplateStatement])
        case `break`
        case `continue`
    }

    var kind: Kind
    var line: Int
}

/// A `for` with its parts.
struct TemplateLoopSyntax: Sendable {
    var target: TemplateTarget
    var items: TemplateExpression
    var condition: TemplateExpression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
}

/// A macro with its parameters; a parameter without a default value is undefined where the call leaves it out.
struct TemplateMacroSyntax: Sendable {
    var name: String
    var parameters: [(name: String, value: TemplateExpression?)]
    var body: [TemplateStatement]
}

/// The target of an assignment.
indirect enum TemplateTarget: Sendable {
    case name(String)
    case attribute(String, of: String)
    case tuple([TemplateTarget])
}

/// The name of a filter, test or function and its arguments.
struct TemplateCallSyntax: Sendable {
    var name: String
    var arguments: [TemplateArgument]
}

/// One argument of a call.
struct TemplateArgument: Sendable {
    /// The kind of an argument.
    enum Kind: Sendable, Equatable {
        case position
        case keyword(String)
        case spread
        case spreadKeywords
    }

    var kind: Kind
    var value: TemplateExpression
}

/// An expression of a template.
indirect enum TemplateExpression: Sendable {
    /// An operator between two values of a chain.
    enum Operator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case remainder = "%"
        case power = "**"
    }

    /// A comparison of a chain.
    enum Comparison: String, Sendable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case contained = "in"
        case notContained = "not in"
    }

    case literal(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, [TemplateArgument])
    case filter(TemplateExpression, TemplateCallSyntax)
    case test(TemplateExpression, TemplateCallSyntax, isNegated: Bool)
    case negate(TemplateExpression)
    case plus(TemplateExpression)
    case not(TemplateExpression)
    case and([TemplateExpression])
    case or([TemplateExpression])
    /// Operators of one level from left to right; a flat list, so that a long sum does not nest.
    case chain(TemplateExpression, [(Operator, TemplateExpression)])
    case concatenate([TemplateExpression])
    case compare(TemplateExpression, [(Comparison, TemplateExpression)])
    case conditional(TemplateExpression, condition: TemplateExpression, otherwise: TemplateExpression?)
}
