public import BridgeCore
public import JSONTree

/// A row of a table, such as one of a Parquet file, as makers of conversations see it.
public protocol DatasetRow: Sendable {
    /// The location of the row, for messages: file and row.
    var location: String { get }
    /// The names of the columns that the row has.
    var columns: [String] { get }
    /// The text in a column; nil where there is none.
    ///
    /// - Throws: `BridgeError` when the column holds something else.
    func string(_ column: String) throws -> String?
    /// The image in a column: bytes of a file, or a path; nil where there is none.
    ///
    /// - Throws: `BridgeError` when the column holds something else.
    func image(_ column: String) throws -> ImageSource?
    /// The images in a column with a list, or the one of a column without.
    ///
    /// - Throws: `BridgeError` when the column holds something else.
    func images(_ column: String) throws -> [ImageSource]
    /// The whole value of a column, structures and lists as JSON; nil where there is none.
    ///
    /// - Throws: `BridgeError` when the column cannot be read.
    func value(_ column: String) throws -> JSON?
}

extension DatasetRow {
    /// The text in a column that has to be there.
    func text(_ column: String) throws -> String {
        guard let text = try string(column) else {
            throw BridgeError(.corruptInput, "the column \(column) holds no text; the maker needs other columns")
        }
        return text
    }

    /// The image in a column that has to be there.
    func image(_ column: String) throws -> ImageSource {
        guard let image = try image(column) else {
            throw BridgeError(
                .corruptInput,
                "the column \(column) holds no image; the maker needs other columns"
            )
        }
        return image
    }
}

/// A table with random access to its rows, from any thread.
public protocol DatasetTable: Sendable {
    /// The number of rows.
    var count: Int { get }
    /// The files that the rows are in, in their order; none where they are in no files.
    var files: [String] { get }
    /// A row.
    ///
    /// - Throws: `BridgeError` when it cannot be read.
    func row(at index: Int) throws -> any DatasetRow
}

extension DatasetTable {
    /// None.
    public var files: [String] { [] }
}
