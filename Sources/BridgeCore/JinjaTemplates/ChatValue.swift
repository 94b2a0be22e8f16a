public import JSONTree

/// A plain value that a chat template can see: a message, a tool, or a variable of the caller.
public indirect enum ChatValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    /// A whole number that does not fit in 64 bits, as its digits; templates print them as Python does.
    case largeInteger(String)
    case number(Double)
    case text(String)
    case list([ChatValue])
    case object([Member])

    /// A named value of an object.
    ///
    /// Objects keep their order: templates print them.
    public struct Member: Sendable, Equatable {
        /// The name.
        public var name: String
        /// The value.
        public var value: ChatValue

        /// A member from its parts.
        public init(_ name: String, _ value: ChatValue) {
            self.name = name
            self.value = value
        }
    }

    /// Reads JSON, such as a line of a data set or a list of tools.
    public init(json: String) throws(TemplateError) {
        do {
            self.init(try JSON(parsing: Array(json.utf8)))
        } catch {
            throw TemplateError(.badValue, "is not valid JSON: \(error)")
        }
    }

    /// The same value as parsed JSON.
    public init(_ json: JSON) {
        switch json {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .number(let value):
            if let integer = Int(value.text) {
                self = .integer(integer)
            } else if value.text.utf8.dropFirst(value.text.hasPrefix("-") ? 1 : 0).allSatisfy({ (48...57).contains($0) }
            ) {
                self = .largeInteger(value.text)
            } else {
                self = .number(value.double)
            }
        case .string(let value): self = .text(value)
        case .array(let values): self = .list(values.map { ChatValue($0) })
        case .object(let members): self = .object(members.map { Member($0.key, ChatValue($0.value)) })
        }
    }

    /// The member of an object, or nil where there is none.
    public subscript(name: String) -> ChatValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name.utf8.elementsEqual(name.utf8) }?.value
    }

    /// The number of levels of lists and objects.
    func depth(limit: Int) -> Int {
        guard limit > 0 else { return 1 }
        switch self {
        case .list(let values): return 1 + (values.map { $0.depth(limit: limit - 1) }.max() ?? 0)
        case .object(let members): return 1 + (members.map { $0.value.depth(limit: limit - 1) }.max() ?? 0)
        default: return 0
        }
    }
}

extension ChatValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .text(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A whole number.
    public init(integerLiteral value: Int) { self = .integer(value) }
}

extension ChatValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    /// A list.
    public init(arrayLiteral elements: ChatValue...) { self = .list(elements) }
    /// An object with its members in this order.
    public init(dictionaryLiteral elements: (String, ChatValue)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
}
