/// A column of a file, or a part of one, as in the schema.
public struct ParquetNode: Sendable, Equatable {
    /// The type of the node's values.
    public enum Kind: Sendable, Equatable {
        /// Truth values.
        case bool
        /// Integers, dates, times and timestamps.
        case int
        /// Unsigned 64-bit integers.
        case unsigned
        /// Floating-point values.
        case double
        /// Text.
        case string
        /// Bytes.
        case bytes
        /// A type that is not supported; reading the column is an error with its name.
        case unsupported(String)
        /// Lists of the one child.
        case list
        /// Structures of the children.
        case structure
    }

    /// The name in the schema.
    public let name: String
    /// The type of a value.
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

/// The encoding of a leaf's values.
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
