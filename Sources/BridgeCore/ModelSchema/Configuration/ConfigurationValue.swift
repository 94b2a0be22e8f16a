public import JSONTree
public import TensorRuntime

/// A Swift type that a configuration's JSON can hold.
public protocol ConfigurationValue: Sendable, Equatable {
    /// The expected JSON, for messages: "a whole number".
    static var expectation: String { get }
    /// The value of some JSON; nil when it is of another kind.
    init?(json: JSON)
    /// The JSON of the value.
    var json: JSON { get }
}

extension Int: ConfigurationValue {
    /// "a whole number".
    public static var expectation: String { "a whole number" }
    /// The integer of a JSON number.
    public init?(json: JSON) {
        guard let value = json.integer else { return nil }
        self = value
    }
    /// A JSON number.
    public var json: JSON { JSON(self) }
}

extension Double: ConfigurationValue {
    /// "a number".
    public static var expectation: String { "a finite number" }
    /// The double of a JSON number.
    public init?(json: JSON) {
        guard let value = json.double, value.isFinite else { return nil }
        self = value
    }
    /// A JSON number.
    public var json: JSON { JSON(self) }
}

extension Bool: ConfigurationValue {
    /// "true or false".
    public static var expectation: String { "true or false" }
    /// The Boolean.
    public init?(json: JSON) {
        guard let value = json.bool else { return nil }
        self = value
    }
    /// The Boolean.
    public var json: JSON { .bool(self) }
}

extension String: ConfigurationValue {
    /// "a string".
    public static var expectation: String { "a string" }
    /// The string.
    public init?(json: JSON) {
        guard let value = json.string else { return nil }
        self = value
    }
    /// The string.
    public var json: JSON { .string(self) }
}

extension ElementType: ConfigurationValue {
    /// The names that are understood.
    public static var expectation: String { "float32, float16 or bfloat16" }
    /// The type with PyTorch's name, with or without `torch.` before it.
    public init?(json: JSON) {
        guard let name = json.string,
            let type = ElementType(rawValue: name.hasPrefix("torch.") ? String(name.dropFirst(6)) : name)
        else { return nil }
        self = type
    }
    /// PyTorch's name.
    public var json: JSON { .string(rawValue) }
}

extension Array: ConfigurationValue where Element: ConfigurationValue {
    /// For example "a list, each of a string".
    public static var expectation: String { "a list, each of it \(Element.expectation)" }
    /// The items of a JSON array, all of one kind.
    public init?(json: JSON) {
        guard let items = json.array else { return nil }
        let values = items.compactMap(Element.init(json:))
        guard values.count == items.count else { return nil }
        self = values
    }
    /// A JSON array.
    public var json: JSON { .array(map(\.json)) }
}

extension Optional: ConfigurationValue where Wrapped: ConfigurationValue {
    /// The wrapped kind, or null.
    public static var expectation: String { "\(Wrapped.expectation), or null" }
    /// nil for `null`, else the wrapped value.
    public init?(json: JSON) {
        if json.isNull {
            self = .none
        } else if let value = Wrapped(json: json) {
            self = .some(value)
        } else {
            return nil
        }
    }
    /// `null` for nil.
    public var json: JSON { self?.json ?? .null }
}
