public import JSONTree

extension JSON {
    /// The JSON in a file.
    ///
    /// - Throws: `BridgeError` naming the file, the byte and what is wrong there.
    public init(contentsOf path: String, limit: Int = 512 << 20) throws {
        try self.init(parsing: Files.contents(of: path, limit: limit), named: path)
    }

    /// The JSON in bytes of the file or location `name`.
    package init(parsing bytes: [UInt8], named name: String) throws {
        do throws(JSONError) {
            try self.init(parsing: bytes)
        } catch {
            throw BridgeError(.corruptInput, "\(name) is not valid JSON: \(error)")
        }
    }
}

/// Reads typed values of a JSON object, with errors that name the file and the key; null counts as absent.
public struct JSONReader: Sendable {
    /// The object.
    public let json: JSON
    /// The file, or the location in it, for messages.
    public let name: String
    /// The code of the errors.
    public let code: BridgeError.Code

    /// A reader.
    public init(_ json: JSON, name: String, code: BridgeError.Code = .corruptInput) {
        self.json = json
        self.name = name
        self.code = code
    }

    /// The value of a key; nil where it is absent or null.
    public subscript(key: String) -> JSON? { json[key]?.nonNull }

    /// An error about the object.
    public func problem(_ what: String) -> BridgeError { BridgeError(code, "\(name): \(what)") }

    /// An error about the value of a key: `NAME: KEY is VALUE, expected EXPECTED`.
    public func wrong(_ key: String, _ value: JSON?, expected: String) -> BridgeError {
        problem("\(key) is \(Self.shown(value)), expected \(expected)")
    }

    /// The value of a key.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - expected: A description of valid values.
    ///   - convert: Converts the value; nil for an invalid one.
    /// - Returns: The converted value; nil where the key is absent.
    /// - Throws: `BridgeError` for an invalid value.
    public func optional<Value>(_ key: String, _ expected: String, _ convert: (JSON) -> Value?) throws -> Value? {
        guard let found = self[key] else { return nil }
        guard let value = convert(found) else { throw wrong(key, found, expected: expected) }
        return value
    }

    /// The value of a key that has to be there.
    public func required<Value>(_ key: String, _ expected: String, _ convert: (JSON) -> Value?) throws -> Value {
        guard let value = try optional(key, expected, convert) else { throw wrong(key, nil, expected: expected) }
        return value
    }

    /// A text.
    public func string(_ key: String) throws -> String { try required(key, "a string", \.string) }

    /// A truth value; false where it is absent.
    public func flag(_ key: String) throws -> Bool { try optional(key, "true or false", \.bool) ?? false }

    /// A whole number between bounds.
    public func integer(_ key: String, in bounds: ClosedRange<Int> = 0...(1 << 48)) throws -> Int {
        try required(key, Self.wholeNumber(bounds)) { Self.integer($0, in: bounds) }
    }

    /// A whole number between bounds; nil where it is absent.
    public func optionalInteger(_ key: String, in bounds: ClosedRange<Int>) throws -> Int? {
        try optional(key, Self.wholeNumber(bounds)) { Self.integer($0, in: bounds) }
    }

    /// A list of whole numbers.
    public func integers(_ key: String, in bounds: ClosedRange<Int> = 0...(1 << 48)) throws -> [Int] {
        try required(key, "a list", \.array).map { value in
            guard let number = Self.integer(value, in: bounds) else {
                throw wrong(key, value, expected: Self.wholeNumber(bounds))
            }
            return number
        }
    }

    /// An object.
    public func object(_ key: String) throws -> JSONObject { try required(key, "an object", \.object) }

    /// A text that is one of the raw values of an enumeration.
    public func choice<Choice: RawRepresentable & CaseIterable>(_ key: String) throws -> Choice
    where Choice.RawValue == String {
        let text = try string(key)
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw problem("\(key) is \(text), expected one of \(known)")
        }
        return choice
    }

    private static func integer(_ value: JSON, in bounds: ClosedRange<Int>) -> Int? {
        value.integer.flatMap { bounds.contains($0) ? $0 : nil }
    }

    private static func wholeNumber(_ bounds: ClosedRange<Int>) -> String {
        "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
    }

    /// A value in an error.
    private static func shown(_ value: JSON?) -> String {
        guard let value else { return "missing" }
        guard value.array == nil, value.object == nil else { return value.kind }
        return String(decoding: value.text(pretty: false).prefix(80), as: UTF8.self)
    }
}
