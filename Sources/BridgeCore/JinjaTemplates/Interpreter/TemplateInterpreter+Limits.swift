/// Accounts for what a run takes, before it takes it.
extension TemplateInterpreter {
    func failure(_ message: String) -> TemplateError {
        TemplateError(.failure, message, line: line)
    }

    mutating func spend(_ count: Int = 1) throws(TemplateError) {
        steps = TemplateValue.sum(steps, count)
        guard steps <= limits.steps else { throw failure("the template takes more than \(limits.steps) steps") }
    }

    /// Counts memory against the limit before it is allocated.
    mutating func hold(_ bytes: Int) throws(TemplateError) {
        memory = TemplateValue.sum(memory, bytes)
        guard memory <= limits.memory else {
            throw failure("the template takes more than \(limits.memory) bytes of memory")
        }
    }

    /// Accounts for a list before its elements are made.
    mutating func holdElements(_ count: Int, bytesEach: Int = TemplateValue.elementBytes) throws(TemplateError) {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: bytesEach)
        try hold(overflow ? .max : bytes)
    }

    /// Accounts for a string that was made.
    mutating func made(_ text: String) throws(TemplateError) -> TemplateValue {
        try spendBytes(text.utf8.count)
        return .string(text)
    }

    /// The text that a value prints, which is accounted for before it is made.
    mutating func text(of value: TemplateValue) throws(TemplateError) -> String {
        try spendBytes(value.size)
        if let text = value.text { return text }
        try spend(value.size / 16)
        if case .undefined = value { return "" }
        return try represented(value)
    }

    /// Python's `repr` of a value, which may be much longer than the value is large.
    mutating func represented(_ value: TemplateValue) throws(TemplateError) -> String {
        guard let text = value.represented(limit: limits.bytes) else {
            throw failure("the template makes a text of more than \(limits.bytes) bytes")
        }
        try hold(text.utf8.count)
        return text
    }

    /// Accounts for a walk over a value.
    mutating func visit(_ value: TemplateValue) throws(TemplateError) {
        try spend(value.size / 64)
    }

    /// Accounts for going through a text scalar by scalar, which takes longer than copying it.
    mutating func scan(_ text: String) throws(TemplateError) {
        try spend(1 + text.utf8.count / 16)
    }

    /// The elements of an iterable value, or nil; those of a text are created here and counted before.
    mutating func elements(of value: TemplateValue) throws(TemplateError) -> [TemplateValue]? {
        // A separate element takes the memory and the time of several steps.
        if let text = value.text { try spend(4 * text.utf8.count) }
        if case .dictionary(let dictionary) = value { try spend(dictionary.entries.count / 8) }
        return value.elements
    }

    mutating func spendBytes(_ count: Int) throws(TemplateError) {
        guard count <= limits.bytes else {
            throw failure("the template makes a text of more than \(limits.bytes) bytes")
        }
        try spend(1 + count / 64)
        try hold(TemplateValue.sum(count, 32))
    }

    /// Accounts for a list that was made.
    mutating func made(_ elements: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        try spend(1 + elements.count)
        return try checked(.list(elements))
    }

    func checked(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        guard value.depth <= TemplateValue.deepestNesting else {
            throw failure("a value nests more than \(TemplateValue.deepestNesting) levels deep")
        }
        return value
    }

    mutating func deeper<Result>(
        _ body: (inout TemplateInterpreter) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        guard depth < limits.depth else { throw failure("the template nests more than \(limits.depth) levels deep") }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }
}
