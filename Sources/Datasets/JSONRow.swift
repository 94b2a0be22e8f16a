import BridgeCore
import JSONTree

/// A row of a JSON or JSON Lines file.
struct JSONRow: DatasetRow {
    let location: String
    private let values: JSONObject

    /// Reads a row.
    ///
    /// - Throws: `BridgeError` with file and line when it cannot be read, or is not an object.
    init(_ file: RowFile, _ index: Int, location: String) throws {
        let row = try file.json(at: index)
        guard let values = row.object else {
            throw BridgeError(
                .corruptInput,
                "\(file.name(of: index)): the row is \(row.kind), expected an object of columns"
            )
        }
        (self.location, self.values) = (location, values)
    }

    var columns: [String] { Array(values.keys) }

    func string(_ column: String) throws -> String? {
        guard let value = values[column]?.nonNull else { return nil }
        guard let text = value.string else { throw BridgeError.column(column, holdsNo: "text") }
        return text
    }

    func image(_ column: String) throws -> ImageSource? { try image(values[column], column) }

    func images(_ column: String) throws -> [ImageSource] {
        guard let items = values[column]?.array else { return try image(column).map { [$0] } ?? [] }
        return try items.compactMap { try image($0, column) }
    }

    /// An image is the path of its file, as text or in an object.
    private func image(_ value: JSON?, _ column: String) throws -> ImageSource? {
        guard let value = value?.nonNull else { return nil }
        guard let path = value.object == nil ? value.string : value["path"]?.string else {
            guard value.object == nil else { return nil }
            throw BridgeError.column(column, holdsNo: "image")
        }
        return .file(path)
    }

    func value(_ column: String) throws -> JSON? { values[column]?.nonNull }
}
