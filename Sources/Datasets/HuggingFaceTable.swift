public import BridgeCore
import JSONTree
import Parquet

/// The rows of a split of a Hugging Face data set, as makers of conversations see them.
public struct HuggingFaceTable: DatasetTable {
    private let dataset: HuggingFaceDataset

    /// Opens a split.
    ///
    /// - Parameters:
    ///   - name: A directory or a hub id, with `#configuration` after it if there are several.
    ///   - split: The split.
    ///   - hub: Where ids lead to; nil where only directories count.
    /// - Throws: `BridgeError` when there is no such data set, configuration or split, or it cannot be downloaded.
    public init(_ name: String, split: String, hub: Hub?) throws {
        let parts = name.split(separator: "#", maxSplits: 1).map(String.init)
        dataset = try HuggingFaceDataset(
            parts.first ?? name,
            config: parts.count > 1 ? parts[1] : nil,
            split: split,
            hub: hub
        )
    }

    /// The number of rows.
    public var count: Int { dataset.count }

    /// A row, all its columns.
    public func row(at index: Int) throws -> any DatasetRow {
        HuggingFaceRow(
            location: try dataset.location(of: index),
            values: try dataset.row(at: index),
            padsWithNulls: dataset.padsWithNulls(at: index)
        )
    }
}

/// A row of a data set.
private struct HuggingFaceRow: DatasetRow {
    let location: String
    let values: ParquetValue
    /// Whether structures have the fields of all others of their column, null where a value does not have them.
    let padsWithNulls: Bool

    private func problem(_ column: String, _ expected: String) -> BridgeError {
        BridgeError(.corruptInput, "the column \(column) holds no \(expected)")
    }

    var columns: [String] {
        guard case .structure(let fields) = values else { return [] }
        return fields.map(\.name)
    }

    func string(_ column: String) throws -> String? {
        switch values[column] {
        case nil, .null: return nil
        case .string(let text): return text
        case .bytes(let bytes):
            guard let text = String(validating: bytes, as: UTF8.self) else { throw problem(column, "text") }
            return text
        default: throw problem(column, "text")
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
        default: throw problem(column, "image")
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
        case .int(let value): .number(JSONNumber(Int(value)))
        case .unsigned(let value):
            Int(exactly: value).map { .number(JSONNumber($0)) } ?? .number(JSONNumber(Double(value)))
        case .double(let value): .number(JSONNumber(value))
        case .string(let text): .string(text)
        case .bytes(let bytes): .string(String(decoding: bytes, as: UTF8.self))
        case .list(let items): .array(items.map(json))
        case .structure(let fields):
            .object(
                JSONObject(fields.filter { !padsWithNulls || $0.value != .null }.map { ($0.name, json($0.value)) })
            )
        }
    }
}
