public import BridgeCore
import JSONTree
public import Parquet

/// The rows of one split of a data set, in a folder as the Hugging Face hub and the package `datasets` lay it out.
///
/// Parquet files are mapped and read row by row; JSON and JSON Lines files are held in memory. Rows may be asked for from
/// several threads at once.
public final class HuggingFaceDataset: Sendable {
    private enum Part: Sendable {
        case parquet(ParquetFile)
        case json(JSONRows)

        var count: Int {
            switch self {
            case .parquet(let file): file.rowCount
            case .json(let rows): rows.count
            }
        }
    }

    /// The folder.
    public let folder: String
    /// The configuration that was chosen.
    public let config: String
    /// The split that was chosen.
    public let split: String
    /// How many rows the split has.
    public let count: Int
    private let parts: [(path: String, rows: Range<Int>, part: Part)]

    /// Opens a split.
    ///
    /// - Parameters:
    ///   - name: A folder, or a hub id, `org/name` or `org/name@revision`; of it the split's files are
    ///     downloaded where they are not in the cache.
    ///   - config: The configuration; nil for the default one.
    ///   - split: The split, such as `train`.
    ///   - hub: Where ids lead to; nil where only folders count.
    /// - Throws: `BridgeError` when there is no such data set, configuration or split, or a file cannot be read.
    public init(_ name: String, config: String? = nil, split: String = "train", hub: Hub? = nil) throws {
        let place = try DatasetPlace(name, hub: hub)
        folder = place.folder.path
        let choice = try place.folder.files(config: config, split: split)
        try place.fetch(choice.files)
        self.config = choice.config
        self.split = choice.split
        var parts: [(path: String, rows: Range<Int>, part: Part)] = []
        var row = 0
        for file in choice.files {
            let path = folder + "/" + file
            let part: Part
            if file.hasSuffix(".parquet") {
                do throws(ParquetError) { part = .parquet(try ParquetFile(path: path)) } catch {
                    throw BridgeError(.corruptInput, "\(path) is no readable Parquet file: \(error)")
                }
            } else {
                part = .json(try JSONRows(path: path))
            }
            // Counts of files that lie about themselves may not overflow.
            let end = row.addingReportingOverflow(part.count)
            guard !end.overflow else { throw BridgeError(.corruptInput, "\(path) claims \(part.count) rows") }
            parts.append((path, row..<end.partialValue, part))
            row = end.partialValue
        }
        self.parts = parts
        count = row
    }

    /// The row of a number, as a structure of its columns.
    ///
    /// - Parameters:
    ///   - index: The number, from 0 on, over all files of the split.
    ///   - columns: The columns, in the order in which they are wanted; nil for all. A JSON row that lacks one has null.
    /// - Returns: A structure. Embedded images are structures of `bytes` and `path`, not decoded.
    /// - Throws: `BridgeError` that names file and row.
    public func row(at index: Int, columns: [String]? = nil) throws -> ParquetValue {
        let (path, rows, part) = try part(holding: index)
        switch part {
        case .parquet(let file):
            do throws(ParquetError) { return try file.row(at: index - rows.lowerBound, columns: columns) } catch {
                throw BridgeError(.corruptInput, "row \(index - rows.lowerBound) of \(path) cannot be read: \(error)")
            }
        case .json(let lines):
            let row = try lines.row(at: index - rows.lowerBound)
            guard let columns else { return row }
            return .structure(columns.map { .init(name: $0, value: row[$0] ?? .null) })
        }
    }

    /// Words that say where a row stands: its file, and its number there from 0 on.
    ///
    /// - Throws: `BridgeError` when there is no such row.
    public func place(of index: Int) throws -> String {
        let (path, rows, _) = try part(holding: index)
        return "row \(index - rows.lowerBound) of \(path)"
    }

    private func part(holding index: Int) throws -> (path: String, rows: Range<Int>, part: Part) {
        guard index >= 0, index < count else {
            throw BridgeError(.badArgument, "row \(index) is asked for, split \(split) of \(folder) has \(count)")
        }
        var (low, high) = (0, parts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if parts[middle].rows.lowerBound <= index { low = middle } else { high = middle }
        }
        return parts[low]
    }
}

/// The rows of a JSON or JSON Lines file.
private struct JSONRows: Sendable {
    private let path: String
    private let bytes: [UInt8]
    private let lines: [Range<Int>]
    private let rows: [JSON]

    var count: Int { lines.isEmpty ? rows.count : lines.count }

    init(path: String) throws {
        self.path = path
        bytes = try DatasetFolder.contents(of: path, limit: 1 << 31)
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
