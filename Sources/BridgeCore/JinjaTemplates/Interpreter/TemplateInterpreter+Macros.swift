extension TemplateInterpreter {
    /// Runs a `call` with the body that it passes.
    mutating func runCall(
        _ expression: TemplateExpression,
        _ caller: TemplateMacroSyntax
    ) throws(TemplateError) {
        guard case .call(let callee, let arguments) = expression else { return }
        guard case .macro(let macro) = try evaluate(callee) else {
            throw failure("only a macro can be called with a body")
        }
        let passed = try evaluate(arguments)
        let value = TemplateValue.macro(TemplateMacro(definition: caller, scopeCount: scopes.count))
        try emit(try text(of: try call(macro, passed, caller: value)))
    }

    /// The output of a macro.
    mutating func call(
        _ macro: TemplateMacro,
        _ arguments: TemplateArguments,
        caller: TemplateValue? = nil
    ) throws(TemplateError) -> TemplateValue {
        let definition = macro.definition
        var values: [String: TemplateValue] = [:]
        var keywords = arguments.keywords
        let callLine = line
        for (index, parameter) in definition.parameters.enumerated() {
            if index < arguments.positions.count {
                values[parameter.name] = arguments.positions[index]
            } else if let value = keywords.removeValue(forKey: parameter.name) {
                values[parameter.name] = value
            }
        }
        let known = definition.parameters.count
        values["varargs"] = .tuple(arguments.positions.count > known ? Array(arguments.positions[known...]) : [])
        values["kwargs"] = .dictionary(
            TemplateDictionary(
                arguments.named.filter { keywords[$0.name] != nil }.map { (.string($0.name), $0.value) }
            )
        )
        if let caller { values["caller"] = caller }
        let saved = scopes
        scopes = Array(scopes.prefix(macro.scopeCount))
        defer {
            scopes = saved
            line = callLine
        }
        let text = try collected { interpreter throws(TemplateError) in
            try interpreter.scoped(values) { inner throws(TemplateError) in
                for parameter in definition.parameters where inner.scopes[inner.scopes.count - 1][parameter.name] == nil
                {
                    let value = try parameter.value.map { value throws(TemplateError) in try inner.evaluate(value) }
                    inner.scopes[inner.scopes.count - 1][parameter.name] =
                        value ?? .undefined("parameter '\(parameter.name)' was not provided")
                }
                _ = try inner.runBody(definition.body)
            }
        }
        return .string(text)
    }
}

/// The arguments of a call.
struct TemplateArguments: Sendable {
    var positions: [TemplateValue] = []
    /// The arguments with names.
    private(set) var keywords: [String: TemplateValue] = [:]
    /// Their names in the order of the call.
    private(set) var names: [String] = []

    init(positions: [TemplateValue] = []) { self.positions = positions }

    /// The same arguments after others.
    init(positions: [TemplateValue], keywordsOf other: TemplateArguments) {
        self.positions = positions
        (keywords, names) = (other.keywords, other.names)
    }

    /// The arguments with names, in the order of the call.
    var named: [(name: String, value: TemplateValue)] {
        names.compactMap { name in keywords[name].map { (name, $0) } }
    }

    mutating func set(_ name: String, _ value: TemplateValue) {
        if keywords.updateValue(value, forKey: name) == nil { names.append(name) }
    }

    /// A parameter by its position or its name.
    func value(_ index: Int, _ name: String) -> TemplateValue? {
        index < positions.count ? positions[index] : keywords[name]
    }
}
