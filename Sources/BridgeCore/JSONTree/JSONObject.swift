/// The members of a JSON object in the order of the file.
public struct JSONObject: Sendable {
    /// The keys, in order.
    public private(set) var keys: [String] = []
    private var values: [JSON] = []
    /// The index of each key; empty for a few members, where a linear search is faster and takes no memory.
    private var places: [Key: Int] = [:]

    private static let fewMembers = 8

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

    private func location(of key: String) -> Int? {
        guard places.isEmpty else { return places[Key(text: key)] }
        return keys.firstIndex { Key(text: $0) == Key(text: key) }
    }

    /// Appends a member; false, without a change, if the key exists.
    mutating func append(_ value: JSON, for key: String) -> Bool {
        if places.isEmpty {
            guard location(of: key) == nil else { return false }
        } else if let place = places.updateValue(keys.count, forKey: Key(text: key)) {
            // Two keys of one object are rare, and looking before would take as long as adding.
            places[Key(text: key)] = place
            return false
        }
        keys.append(key)
        values.append(value)
        if places.isEmpty, keys.count > Self.fewMembers { number() }
        return true
    }

    private mutating func number() {
        places = [:]
        guard keys.count > Self.fewMembers else { return }
        for (location, key) in keys.enumerated() { places[Key(text: key)] = location }
    }

    /// The value of a key; a new key is appended, nil removes the key.
    public subscript(key: String) -> JSON? {
        get { location(of: key).map { values[$0] } }
        set {
            if let newValue {
                if let location = location(of: key) {
                    values[location] = newValue
                } else {
                    _ = append(newValue, for: key)
                }
            } else if let location = location(of: key) {
                keys.remove(at: location)
                values.remove(at: location)
                number()
            }
        }
    }

    /// The number of members.
    public var count: Int { keys.count }

    /// Whether there are none.
    public var isEmpty: Bool { keys.isEmpty }

    /// The approximate bytes of an object with members.
    static var memory: Int { 64 }

    /// The approximate bytes of the member after `index` others.
    static func memory(ofMember index: Int) -> Int {
        let member = MemoryLayout<String>.stride + MemoryLayout<JSON>.stride
        return index < fewMembers ? member : member + 2 * (MemoryLayout<String>.stride + MemoryLayout<Int>.stride)
    }
}

extension JSONObject: Sequence {
    /// The members, in order.
    public func makeIterator() -> AnyIterator<(key: String, value: JSON)> {
        var index = 0
        return AnyIterator {
            guard index < keys.count else { return nil }
            defer { index += 1 }
            return (keys[index], values[index])
        }
    }
}

extension JSONObject: Equatable {
    /// Whether both hold the same members in the same order.
    public static func == (left: Self, right: Self) -> Bool {
        left.values == right.values && left.keys.elementsEqual(right.keys) { Key(text: $0) == Key(text: $1) }
    }
}
