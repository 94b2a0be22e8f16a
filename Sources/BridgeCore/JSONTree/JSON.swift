/// A JSON value that keeps the order of an object's keys and the text of numbers.
///
/// A configuration that is read and written again therefore differs in changed values only.
public enum JSON: Sendable, Equatable {
    /// `null`, which is not the same as an absent key.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number.
    case number(JSONNumber)
    /// A string.
    case string(String)
    /// An array.
    case array([JSON])
    /// An object.
    case object(JSONObject)
}

extension JSON {
    /// The value of a key when this is an object that has it.
    public subscript(key: String) -> JSON? { object?[key] }

    /// The value as an object, or nil.
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

    /// The value as an array, or nil.
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }

    /// The value as a string, or nil.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The value as a Boolean, or nil.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The value as an integer, or nil when it is not a number or has a fraction.
    public var integer: Int? { if case .number(let value) = self { value.integer } else { nil } }

    /// The value as a double, or nil.
    public var double: Double? { if case .number(let value) = self { value.double } else { nil } }

    /// Whether this is `null`.
    public var isNull: Bool { self == .null }
    /// The value itself; nil for null.
    ///
    /// Defined because a literal `nil` is null where a JSON is expected.
    public var nonNull: JSON? { isNull ? Optional.none : .some(self) }

    /// The kind of this value, for messages: "an object", "a string" and so on.
    public var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a Boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The value at a path of keys joined by dots, such as `rope_parameters.factor`.
    public subscript(path path: String) -> JSON? {
        var value = self
        for key in path.split(separator: ".") {
            guard let next = value[String(key)] else { return nil }
            value = next
        }
        return value
    }

    /// Sets the value at a path of keys joined by dots and creates missing objects; nil removes the last key.
    public mutating func set(_ value: JSON?, at path: String) {
        var keys = path.split(separator: ".").map(String.init)
        guard !keys.isEmpty else { return }
        let first = keys.removeFirst()
        var object = self.object ?? JSONObject()
        if keys.isEmpty {
            object[first] = value
        } else {
            if value == nil, object[first]?.object == nil { return }
            var child = object[first] ?? .object(JSONObject())
            child.set(value, at: keys.joined(separator: "."))
            object[first] = child
        }
        self = .object(object)
    }
}

extension JSON {
    /// A whole number.
    public init(_ value: Int) { self = .number(JSONNumber(value)) }

    /// A number; one that is not finite becomes the closest finite one, and NaN becomes 0.
    public init(_ value: Double) { self = .number(JSONNumber(value)) }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    public init(integerLiteral value: Int) { self = .number(JSONNumber(value)) }
    /// A floating-point number.
    public init(floatLiteral value: Double) { self = .number(JSONNumber(value)) }
    /// A Boolean.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// An array.
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    /// An object with its keys in the order written.
    public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(JSONObject(elements)) }
    /// `null`.
    public init(nilLiteral: ()) { self = .null }
}
