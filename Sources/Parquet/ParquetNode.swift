/// A column of a file, or a part of one: what the schema says of it.
public struct ParquetNode: Sendable, Equatable {
    /// What a value of the node is.
    public enum Kind: Sendable, Equatable {
        /// Truth values.
        case bool
        /// Whole numbers, dates, times and timestamps.
        case int
        /// Unsigned whole numbers of 64 bits.
        case unsigned
        /// Floating-point numbers.
        case double
        /// Text.
        case string
        /// Bytes.
        case bytes
        /// A type that is not read; asking for the column is an error that says what it is.
        case unsupported(String)
        /// Lists of the one child.
        case list
        /// Structures of the children.
        case structure
    }

    /// The name in the schema.
    public let name: String
    /// What a value is.
    public let kind: Kind
    /// Whether a value may be null.
    public let isOptional: Bool
    /// The parts of a structure, or the elements of a list.
    public let children: [ParquetNode]

    /// From which definition level on the value is there.
    let definition: Int
    /// The repetition level of the list's further elements.
    let repetition: Int
    /// The range of leaves below, counted over the file.
    let leaves: Range<Int>
}

/// How the values of a leaf are stored.
struct ParquetLeaf: Sendable, Equatable {
    enum Physical: Int, Sendable {
        case boolean
        case int32
        case int64
        case int96
        case float
        case double
        case byteArray
        case fixed
    }

    let path: [String]
    let physical: Physical
    /// Bytes of a value of fixed length.
    let width: Int
    let kind: ParquetNode.Kind
    /// Whether 32 bits are to be read without a sign.
    let isUnsigned: Bool
    let maximumDefinition: Int
    let maximumRepetition: Int
}
