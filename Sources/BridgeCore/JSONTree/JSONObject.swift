/// The members of a JSON object in the order of the file.
public struct JSONObject: Sendable {
    /// The keys, in order.
    public private(set) var keys: [String] = []
    private var values: [Key: JSON] = [:]

    /// A key, compared byte by byte: Swift's strings are equal when they look alike, and a vocabulary holds such pairs.
    private struct Key: Hashable {
        let text: String

        static func == (left: Key, right: Key) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

        func hash(into hasher: inout Hasher) {
            var text = text
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }

    /// An empty object.
    public init() {}

    /// An object with the given members, in order; of two members with one key the last one stays.
    public init(_ members: some Sequence<(String, JSON)>) {
        for (key, value) in members { self[key] = value }
    }

    /// The value of a key; a new key goes to the end, nil removes the key.
    public subscript(key: String) -> JSON? {
        get { values[Key(text: key)] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: Key(text: key)) == nil { keys.append(key) }
            } else if values.removeValue(forKey: Key(text: key)) != nil {
                keys.removeAll { Key(text: $0) == Key(text: key) }
            }
        }
    }

    /// How many members there are.
    public var count: Int { keys.count }

    /// Whether there are none.
    public var isEmpty: Bool { keys.isEmpty }
}

extension JSONObject: Sequence {
    /// The members, in order.
    public func makeIterator() -> AnyIterator<(key: String, value: JSON)> {
        var index = 0
        return AnyIterator {
            while index < keys.count {
                let key = keys[index]
                index += 1
                if let value = self[key] { return (key, value) }
            }
            return nil
        }
    }
}

extension JSONObject: Equatable {
    /// Whether both hold the same members in the same order.
    public static func == (left: Self, right: Self) -> Bool {
        left.values == right.values && left.keys.elementsEqual(right.keys) { Key(text: $0) == Key(text: $1) }
    }
}
