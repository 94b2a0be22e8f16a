/// What is wrong with a Parquet file, in one sentence that says what was found and what was expected.
public struct ParquetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The sentence, without the file's name.
    public var description: String

    init(_ description: String) { self.description = description }
}
