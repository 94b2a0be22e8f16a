import BridgeCore
import JSONTree
import Parquet

/// A row of a Parquet or Arrow file.
struct TableRow: DatasetRow {
    let location: String
    let values: ParquetValue

    var columns: [String] {
        guard case .structure(let fields) = values else { return [] }
        return fields.map(\.name)
    }

    func string(_ column: String) throws -> String? {
        switch values[column] {
        case nil, .null: return nil
        case .string(let text): return text
        case .bytes(let bytes):
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw BridgeError.column(column, holdsNo: "text")
            }
            return text
        default: throw BridgeError.column(column, holdsNo: "text")
        }
    }

    func image(_ column: String) throws -> ImageSource? { try image(values[column], column) }

    func images(_ column: String) throws -> [ImageSource] {
        guard case .list(let items)? = values[column] else { return try image(column).map { [$0] } ?? [] }
        return try items.compactMap { try image($0, column) }
    }

    /// `datasets` stores an image as the bytes of its file, as the file's path, or as both.
    private func image(_ value: ParquetValue?, _ column: String) throws -> ImageSource? {
        switch value {
        case nil, .null: return nil
        case .bytes(let bytes): return .bytes(bytes, name: "\(column) of \(location)")
        case .string(let path): return .file(path)
        case .structure?:
            if case .bytes(let bytes)? = value?["bytes"] { return .bytes(bytes, name: "\(column) of \(location)") }
            if case .string(let path)? = value?["path"] { return .file(path) }
            return nil
        default: throw BridgeError.column(column, holdsNo: "image")
        }
    }

    func value(_ column: String) throws -> JSON? {
        switch values[column] {
        case nil, .null: return nil
        case let value?: return json(value)
        }
    }

    private func json(_ value: ParquetValue) -> JSON {
        switch value {
        case .null: .null
        case .bool(let value): .bool(value)
        case .int(let value): JSON(Int(value))
        case .unsigned(let value):
            Int(exactly: value).map { JSON($0) } ?? JSON(Double(value))
        case .double(let value): JSON(value)
        case .string(let text): .string(text)
        case .bytes(let bytes): .string(String(decoding: bytes, as: UTF8.self))
        case .list(let items): .array(items.map(json))
        case .structure(let fields):
            // All structures of a column have the same fields, null where a value does not have one.
            .object(JSONObject(fields.filter { $0.value != .null }.map { ($0.name, json($0.value)) }))
        }
    }
}
