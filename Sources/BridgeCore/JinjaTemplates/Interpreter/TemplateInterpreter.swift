/// Runs the statements of a template.
struct TemplateInterpreter {
    /// The limits of a run.
    ///
    /// A real template stays far below.
    struct Limits: Sendable {
        /// Steps; a step is a node of the syntax, 64 bytes that are made, or 16 bytes that are gone through one by one.
        var steps = 5_000_000
        /// The most bytes of the output and of every intermediate string.
        var bytes = 32 << 20
        /// Bytes of all strings, lists and dictionaries that are made, whether they are still needed or not.
        var memory = 512 << 20
        /// The deepest nesting of macros and expressions.
        var depth = 220
        /// Elements of a list that is made, such as by `range`.
        var elements = 100_000
    }

    enum Flow {
        case next
        case stop
        case again
    }

    let limits: Limits
    let date: ChatDate
    let fillsPlaceholders: Bool
    var scopes: [[String: TemplateValue]]
    var line = 1
    // What was used of the limits.
    var steps = 0
    var memory = 0
    var depth = 0
    private(set) var output = ""
    private(set) var spans: [Range<Int>] = []
    /// The length of the output of the template itself while the output of a part is collected apart.
    private var outerCount: Int?

    init(variables: [String: TemplateValue], date: ChatDate, fillsPlaceholders: Bool, limits: Limits) {
        self.limits = limits
        self.date = date
        self.fillsPlaceholders = fillsPlaceholders
        scopes = [variables]
    }

    // MARK: Statements

    /// Runs a whole template.
    mutating func run(_ statements: [TemplateStatement]) throws(TemplateError) {
        _ = try runBody(statements)
    }

    mutating func emit(_ text: String) throws(TemplateError) {
        try spend(1 + text.utf8.count / 64)
        output += text
        guard output.utf8.count <= limits.bytes else {
            throw failure("the template prints more than \(limits.bytes) bytes")
        }
    }

    mutating func runBody(_ statements: [TemplateStatement]) throws(TemplateError) -> Flow {
        for statement in statements {
            line = statement.line
            try spend()
            let flow = try run(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    private mutating func run(_ statement: TemplateStatement) throws(TemplateError) -> Flow {
        switch statement.kind {
        case .text(let text):
            try emit(text)
        case .output(let expression):
            try emit(try text(of: try evaluate(expression)))
        case .conditional(let branches, let otherwise):
            return try runConditional(branches, otherwise)
        case .loop(let loop):
            try runLoop(loop)
        case .set(let target, let expression):
            try assign(try evaluate(expression), to: target)
        case .setBlock(let target, let filters, let body):
            let text = try collected { interpreter throws(TemplateError) in
                try interpreter.scoped([:]) { inner throws(TemplateError) in _ = try inner.runBody(body) }
            }
            try assign(try filtered(.string(text), filters), to: target)
        case .macro(let definition):
            scopes[scopes.count - 1][definition.name] =
                .macro(TemplateMacro(definition: definition, scopeCount: scopes.count))
        case .call(let expression, let caller):
            try runCall(expression, caller)
        case .filter(let filters, let body):
            let text = try collected { interpreter throws(TemplateError) in
                try interpreter.scoped([:]) { inner throws(TemplateError) in _ = try inner.runBody(body) }
            }
            try emit(try self.text(of: try filtered(.string(text), filters)))
        case .with(let values, let body):
            try runWith(values, body)
        case .generation(let body):
            let start = outerCount ?? output.utf8.count
            let text = try collected { interpreter throws(TemplateError) in
                try interpreter.scoped([:]) { inner throws(TemplateError) in _ = try inner.runBody(body) }
            }
            spans.append(start..<(start + text.utf8.count))
            try emit(text)
        case .break: return .stop
        case .continue: return .again
        }
        return .next
    }

    private mutating func runConditional(
        _ branches: [(condition: TemplateExpression, body: [TemplateStatement])],
        _ otherwise: [TemplateStatement]
    ) throws(TemplateError) -> Flow {
        for branch in branches where try evaluate(branch.condition).isTrue {
            return try deeper { inner throws(TemplateError) in try inner.runBody(branch.body) }
        }
        return try deeper { inner throws(TemplateError) in try inner.runBody(otherwise) }
    }

    private mutating func runWith(
        _ values: [(TemplateTarget, TemplateExpression)],
        _ body: [TemplateStatement]
    ) throws(TemplateError) {
        var evaluated: [(TemplateTarget, TemplateValue)] = []
        for (target, expression) in values { evaluated.append((target, try evaluate(expression))) }
        try scoped([:]) { inner throws(TemplateError) in
            for (target, value) in evaluated { try inner.assign(value, to: target) }
            _ = try inner.runBody(body)
        }
    }

    /// Runs `body` in a new scope.
    mutating func scoped(
        _ values: [String: TemplateValue],
        _ body: (inout TemplateInterpreter) throws(TemplateError) -> Void
    ) throws(TemplateError) {
        scopes.append(values)
        defer { scopes.removeLast() }
        try deeper(body)
    }

    /// The output of `body`, which is not printed.
    mutating func collected(
        _ body: (inout TemplateInterpreter) throws(TemplateError) -> Void
    ) throws(TemplateError) -> String {
        let outer = output
        let savedCount = outerCount
        if outerCount == nil { outerCount = output.utf8.count }
        output = ""
        defer {
            output = outer
            outerCount = savedCount
        }
        try body(&self)
        return output
    }

    // MARK: Loops

    private mutating func runLoop(_ loop: TemplateLoopSyntax) throws(TemplateError) {
        let source = try evaluate(loop.items)
        guard var items = try elements(of: source) else { throw failure("'\(source.typeName)' object is not iterable") }
        if let condition = loop.condition {
            var kept: [TemplateValue] = []
            for item in items {
                var isKept = false
                try scoped([:]) { inner throws(TemplateError) in
                    try inner.assign(item, to: loop.target)
                    isKept = try inner.evaluate(condition).isTrue
                }
                if isKept { kept.append(item) }
            }
            items = kept
        }
        if items.isEmpty {
            try scoped([:]) { inner throws(TemplateError) in _ = try inner.runBody(loop.otherwise) }
            return
        }
        let memory = TemplateLoopMemory()
        for (index, item) in items.enumerated() {
            var flow = Flow.next
            let state = TemplateLoop(index: index, items: items, memory: memory)
            try scoped(["loop": .loop(state)]) { inner throws(TemplateError) in
                try inner.assign(item, to: loop.target)
                flow = try inner.runBody(loop.body)
            }
            if flow == .stop { break }
        }
    }

    // MARK: Names

    func lookUp(_ name: String) -> TemplateValue {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return Self.functions.contains(name) ? .function(name) : .undefined("'\(name)' is undefined")
    }

    mutating func assign(_ value: TemplateValue, to target: TemplateTarget) throws(TemplateError) {
        switch target {
        case .name(let name):
            scopes[scopes.count - 1][name] = value
        case .attribute(let name, let owner):
            guard case .namespace(let namespace) = lookUp(owner) else {
                throw failure("cannot assign attribute on non-namespace object")
            }
            try assign(value, to: name, of: namespace)
        case .tuple(let targets):
            guard let elements = try elements(of: value) else {
                throw failure("cannot unpack non-iterable \(value.typeName) object")
            }
            guard elements.count == targets.count else {
                throw failure("expected \(targets.count) values to unpack, found \(elements.count)")
            }
            for (target, element) in zip(targets, elements) { try assign(element, to: target) }
        }
    }

    func assign(_ value: TemplateValue, to name: String, of namespace: TemplateNamespace) throws(TemplateError) {
        switch value {
        case .namespace, .macro, .loop, .iterator:
            // Values form no cycles this way, and no chains that nothing bounds.
            throw failure("a namespace cannot hold a \(value.typeName)")
        default:
            guard !name.hasPrefix("_") else { throw failure("a namespace cannot hold '\(name)': it starts with '_'") }
            namespace.values[Array(name.utf8)] = value
        }
    }
}
