public import BridgeCore
import Parquet

/// The rows of one split of a data set, in a directory as the Hugging Face hub and the package `datasets` lay it out.
///
/// Files are read row by row: Parquet and Arrow files are mapped; of JSON and JSON Lines files, which may be compressed with
/// gzip or zstd, the offsets of the rows are held in memory. Rows may be read from several threads at once.
public final class HuggingFaceDataset: Sendable {
    private enum Part: Sendable {
        case parquet(ParquetFile)
        case arrow(ArrowFile)
        case json(RowFile)

        var count: Int {
            switch self {
            case .parquet(let file): file.rowCount
            case .arrow(let file): file.rowCount
            case .json(let rows): rows.count
            }
        }
    }

    /// The directory.
    public let directory: String
    /// The configuration that was chosen.
    public let config: String
    /// The split that was chosen.
    public let split: String
    /// The number of rows of the split.
    public let count: Int
    /// The files of the split, in their order.
    public var files: [String] { parts.map(\.path) }
    private let parts: [(path: String, rows: Range<Int>, part: Part)]

    /// Opens a split.
    ///
    /// - Parameters:
    ///   - name: A directory, or a hub id, `org/name` or `org/name@revision`, of which the split's files are downloaded
    ///     if they are not in the cache.
    ///   - config: The configuration; nil for the default one.
    ///   - split: The split, such as `train`.
    ///   - hub: Where ids lead to; nil where only directories count.
    /// - Throws: `BridgeError` when there is no such data set, configuration or split, or a file cannot be read.
    public init(_ name: String, config: String? = nil, split: String = "train", hub: Hub? = nil) throws {
        let choice: (config: String, split: String, files: [String])
        if let saved = try SavedDataset(path: name, split: split) {
            directory = saved.path
            choice = ("default", split, saved.files)
            guard config == nil else {
                throw BridgeError(
                    .badArgument,
                    "\(name) was written by save_to_disk and has no configurations; name it alone"
                )
            }
        } else {
            let location = try DatasetLocation(name, hub: hub)
            directory = location.directory.path
            choice = try location.directory.files(config: config, split: split)
            try location.fetch(choice.files)
        }
        self.config = choice.config
        self.split = choice.split
        var parts: [(path: String, rows: Range<Int>, part: Part)] = []
        var row = 0
        for file in choice.files {
            let path = directory + "/" + file
            let part: Part
            if file.hasSuffix(".parquet") {
                do throws(ParquetError) { part = .parquet(try ParquetFile(path: path)) } catch {
                    throw BridgeError(.corruptInput, "\(path) is not a readable Parquet file: \(error)")
                }
            } else if file.hasSuffix(".arrow") {
                do throws(ParquetError) { part = .arrow(try ArrowFile(path: path)) } catch {
                    throw BridgeError(.corruptInput, "\(path) is not a readable Arrow file: \(error)")
                }
            } else {
                part = .json(try RowFile(path: path, allowsNone: true))
            }
            // Wrong counts in files must not overflow.
            let end = row.addingReportingOverflow(part.count)
            guard !end.overflow else { throw BridgeError(.corruptInput, "\(path) claims \(part.count) rows") }
            parts.append((path, row..<end.partialValue, part))
            row = end.partialValue
        }
        self.parts = parts
        count = row
    }

    /// The row of a number.
    ///
    /// - Parameter index: The number, from 0 on, over all files of the split.
    /// - Returns: The row; embedded images are not decoded.
    /// - Throws: `BridgeError` that names file and row.
    public func row(at index: Int) throws -> any DatasetRow {
        let (path, rows, part) = try part(holding: index)
        let number = index - rows.lowerBound
        let location = "row \(number) of \(path)"
        func tableRow(_ read: () throws(ParquetError) -> ParquetValue) throws -> TableRow {
            do throws(ParquetError) { return TableRow(location: location, values: try read()) } catch {
                throw BridgeError(.corruptInput, "\(location) cannot be read: \(error)")
            }
        }
        switch part {
        case .parquet(let file):
            return try tableRow { () throws(ParquetError) in try file.row(at: number, columns: nil) }
        case .arrow(let file):
            return try tableRow { () throws(ParquetError) in try file.row(at: number, columns: nil) }
        case .json(let file): return try JSONRow(file, number, location: location)
        }
    }

    private func part(holding index: Int) throws -> (path: String, rows: Range<Int>, part: Part) {
        guard index >= 0, index < count else {
            throw BridgeError(.badArgument, "row \(index) is requested, split \(split) of \(directory) has \(count)")
        }
        var (low, high) = (0, parts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if parts[middle].rows.lowerBound <= index { low = middle } else { high = middle }
        }
        return parts[low]
    }
}
