import BridgeCore
import JSONTree
import Parquet

/// The rows of a JSON or JSON Lines file.
struct JSONRows: Sendable {
    private let path: String
    private let bytes: [UInt8]
    private let lines: [Range<Int>]
    private let rows: [JSON]

    var count: Int { lines.isEmpty ? rows.count : lines.count }

    init(path: String) throws {
        self.path = path
        bytes = try Self.text(of: path)
        // A list, or `datasets`' form of columns' rows under `data`; everything else is taken line by line.
        let first = bytes.first { $0 > 32 }
        if first == UInt8(ascii: "["), let list = (try? JSON(parsing: bytes))?.array {
            rows = list
            lines = []
            return
        }
        rows = []
        var found: [Range<Int>] = []
        for line in bytes.split(separator: 10) where line.contains(where: { $0 > 32 }) {
            found.append(line.startIndex..<line.endIndex)
        }
        lines = found
    }

    /// The text of a file, unpacked and without a byte order mark.
    private static func text(of path: String) throws -> [UInt8] {
        let limit = RowFile.largestText
        var bytes = try DatasetFolder.contents(of: path, limit: limit)
        do throws(ParquetError) {
            bytes = try TextBytes.unpacked(bytes, limit: limit) ?? bytes
            let mark = try TextBytes.byteOrderMark(bytes)
            if mark > 0 { bytes.removeFirst(mark) }
        } catch {
            throw BridgeError(.corruptInput, "\(path) cannot be read: \(error)")
        }
        return bytes
    }

    func row(at index: Int) throws -> ParquetValue {
        var row: JSON
        if lines.isEmpty {
            row = rows[index]
        } else {
            do throws(JSONError) { row = try JSON(parsing: Array(bytes[lines[index]])) } catch {
                throw BridgeError(.corruptInput, "row \(index) of \(path) is not valid JSON: \(error)")
            }
        }
        guard row.object != nil else {
            throw BridgeError(.corruptInput, "row \(index) of \(path) is \(row.kind), expected an object of columns")
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
