/// The members of a JSON text that is one object, read one after the other: of a long list of small things no tree is
/// made.
///
/// Duplicate keys are not checked.
public struct JSONMembers {
    private var parser: JSONParser
    private var isFirst = true
    private var hasEnded = false

    /// Begins to read.
    ///
    /// - Throws: `JSONError` when the text is not an object.
    public init(_ text: [UInt8]) throws(JSONError) {
        parser = JSONParser(text, maximumDepth: JSON.maximumDepth, maximumMemory: JSON.maximumMemory)
        guard parser.take(UInt8(ascii: "{")) else {
            // What is wrong with it as JSON goes before what it should have been.
            let kind = try parser.value().kind
            throw JSONError("the text is \(kind), expected an object", at: 0)
        }
    }

    /// The next member; nil after the last.
    ///
    /// - Throws: `JSONError` for what ``JSON/init(parsing:)`` refuses.
    public mutating func next() throws(JSONError) -> (key: String, value: JSON)? {
        if hasEnded { return nil }
        if parser.take(UInt8(ascii: "}")) {
            guard isFirst else { throw JSONError("a comma without a member after it", at: parser.index - 1) }
            hasEnded = true
            try parser.finish()
            return nil
        }
        isFirst = false
        // What was read before may be gone by now, so each member has the whole of the memory.
        parser.forget()
        let key = try parser.key()
        let value = try parser.value(depth: 1)
        if !parser.take(UInt8(ascii: ",")) {
            guard parser.take(UInt8(ascii: "}")) else {
                throw JSONError("expected a comma or the end of an object", at: parser.index)
            }
            hasEnded = true
            try parser.finish()
        }
        return (key, value)
    }
}
