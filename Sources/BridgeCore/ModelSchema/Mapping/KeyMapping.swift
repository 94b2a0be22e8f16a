/// Other prefixes under which the same tensors are found, because transformers changed its names over time.
///
/// A table is written in one set of names; a keyMapping says how those read in another. What is exported carries the names
/// that came in.
public struct KeyMapping: Sendable {
    /// Which release or program writes these names.
    public let name: String
    /// Prefixes of the table's names, the longest that fits counts, with what stands in their place.
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
