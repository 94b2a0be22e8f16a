import BridgeCore
import JSONTree
import Parquet

/// The rows of a JSON or JSON Lines file of a data set, one to a line or as one list.
struct JSONRows: Sendable {
    private let file: RowFile

    var count: Int { file.count }

    init(path: String) throws { file = try RowFile(path: path, allowsNone: true) }

    func row(at index: Int) throws -> ParquetValue {
        let row = try file.json(at: index)
        guard row.object != nil else {
            throw BridgeError(
                .corruptInput,
                "\(file.name(of: index)): the row is \(row.kind), expected an object of columns"
            )
        }
        return Self.value(row)
    }

    private static func value(_ json: JSON) -> ParquetValue {
        if let text = json.string { return .string(text) }
        if let flag = json.bool { return .bool(flag) }
        if let number = json.integer { return .int(Int64(number)) }
        if let number = json.double { return .double(number) }
        if let list = json.array { return .list(list.map(value)) }
        guard let object = json.object else { return .null }
        return .structure(object.makeIterator().map { .init(name: $0.key, value: value($0.value)) })
    }
}
