/// One value of a row, nested as the schema is.
public enum ParquetValue: Sendable, Equatable {
    /// No value.
    case null
    /// A truth value.
    case bool(Bool)
    /// An integer; of a date, a time or a timestamp the stored integer, in the column's unit.
    case int(Int64)
    /// A whole number of a column that is declared as unsigned 64-bit.
    case unsigned(UInt64)
    /// A floating-point number of 16, 32 or 64 bits.
    case double(Double)
    /// Text: a byte array that the schema declares as text.
    case string(String)
    /// Any other byte array, and one of fixed length.
    case bytes([UInt8])
    /// A list; of a map its entries, each a structure of key and value.
    case list([ParquetValue])
    /// A structure, its fields in the order of the schema.
    case structure([Field])

    /// A field of a structure.
    public struct Field: Sendable, Equatable {
        /// The name as the schema has it.
        public var name: String
        /// The value.
        public var value: ParquetValue

        /// A field.
        public init(name: String, value: ParquetValue) {
            self.name = name
            self.value = value
        }
    }

    /// The value of the first field of that name; nil if there is none or this is not a structure.
    public subscript(name: String) -> ParquetValue? {
        guard case .structure(let fields) = self else { return nil }
        return fields.first { $0.name == name }?.value
    }
}
