/// A problem of a Parquet file: what was found and what was expected, in one sentence.
public struct ParquetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The sentence, without the file's name.
    public var description: String

    init(_ description: String) { self.description = description }
}
