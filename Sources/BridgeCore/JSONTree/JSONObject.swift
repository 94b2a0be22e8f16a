/// The members of a JSON object in the order of the file.
public struct JSONObject: Sendable {
    /// The keys, in order.
    public private(set) var keys: [String] = []
    private var values: [String: JSON] = [:]

    /// An empty object.
    public init() {}

    /// An object with the given members, in order; of two members with one key the last one stays.
    public init(_ members: some Sequence<(String, JSON)>) {
        for (key, value) in members { self[key] = value }
    }

    /// The value of a key; a new key goes to the end, nil removes the key.
    public subscript(key: String) -> JSON? {
        get { values[key] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
            } else if values.removeValue(forKey: key) != nil {
                keys.removeAll { $0 == key }
            }
        }
    }

    /// How many members there are.
    public var count: Int { keys.count }

    /// Whether there are none.
    public var isEmpty: Bool { keys.isEmpty }

    /// Puts a value in the place of another key, so that the order of the rest stays.
    public mutating func rename(_ key: String, to other: String) {
        guard let index = keys.firstIndex(of: key), key != other, let value = values.removeValue(forKey: key) else {
            return
        }
        if values[other] != nil { keys.removeAll { $0 == other } }
        keys[keys.firstIndex(of: key) ?? index] = other
        values[other] = value
    }
}

extension JSONObject: Sequence {
    /// The members, in order.
    public func makeIterator() -> AnyIterator<(key: String, value: JSON)> {
        var index = 0
        return AnyIterator {
            while index < keys.count {
                let key = keys[index]
                index += 1
                if let value = values[key] { return (key, value) }
            }
            return nil
        }
    }
}

extension JSONObject: Equatable {
    /// Whether both hold the same members in the same order.
    public static func == (left: Self, right: Self) -> Bool {
        left.keys == right.keys && left.values == right.values
    }
}
