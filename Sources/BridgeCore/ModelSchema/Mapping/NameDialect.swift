/// Other prefixes under which the same tensors are found, because transformers changed its names over time.
///
/// A table is written in one set of names; a dialect says how those read in another. What is exported carries the names
/// that came in.
public struct NameDialect: Sendable {
    /// Which release or program writes these names.
    public let name: String
    /// Prefixes of the table's names, the longest that fits counts, with what stands in their place.
    public let prefixes: [(table: String, dialect: String)]

    /// A dialect.
    public init(_ name: String, _ prefixes: [(table: String, dialect: String)]) {
        self.name = name
        self.prefixes = prefixes.sorted { $0.table.count > $1.table.count }
    }

    /// A name of the table in this dialect.
    public func spelled(_ name: String) -> String {
        guard let prefix = prefixes.first(where: { name.hasPrefix($0.table) }) else { return name }
        return prefix.dialect + name.dropFirst(prefix.table.count)
    }
}
