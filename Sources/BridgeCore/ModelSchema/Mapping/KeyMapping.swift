/// Other prefixes of the same tensors, because transformers changed its names over time.
///
/// A table uses one set of names; a key mapping translates it to another. An export has the names of its source.
public struct KeyMapping: Sendable {
    /// Which release or program writes these names.
    public let name: String
    /// Prefixes of the table's names with their replacements; the longest that matches counts.
    public let prefixes: [(table: String, keyMapping: String)]

    /// A keyMapping.
    public init(_ name: String, _ prefixes: [(table: String, keyMapping: String)]) {
        self.name = name
        self.prefixes = prefixes.sorted { $0.table.count > $1.table.count }
    }

    /// A name of the table in this keyMapping.
    public func renamed(_ name: String) -> String {
        guard let prefix = prefixes.first(where: { name.hasPrefix($0.table) }) else { return name }
        return prefix.keyMapping + name.dropFirst(prefix.table.count)
    }
}
