import Foundation
import Parquet

/// Prints the rows of Parquet files, and of Arrow files with the ending .arrow, as JSON, a line a file, for the comparison with pyarrow.
///
///     ParquetDump FILE...
///
/// The rows are read from the last to the first, so that the pages are not taken as they come, and put in order again.
/// A file that cannot be read gives `{"error": ...}`.
@main
struct ParquetDump {
    static func main() throws {
        for path in CommandLine.arguments.dropFirst() {
            var line: Data
            do {
                var rows: [Any] = []
                if path.hasSuffix(".arrow") {
                    let file = try ArrowFile(path: path)
                    for row in (0..<file.rowCount).reversed() { rows.append(plain(try file.row(at: row))) }
                } else {
                    let file = try ParquetFile(path: path)
                    for row in (0..<file.rowCount).reversed() { rows.append(plain(try file.row(at: row))) }
                }
                line = try JSONSerialization.data(withJSONObject: Array(rows.reversed()))
            } catch let error as ParquetError {
                line = try JSONSerialization.data(withJSONObject: ["error": error.description])
            }
            line.append(10)
            try FileHandle.standardOutput.write(contentsOf: line)
        }
    }

    /// The value as `Tests/Fixtures/parquet/make.py` writes it.
    private static func plain(_ value: ParquetValue) -> Any {
        switch value {
        case .null: NSNull()
        case .bool(let value): value
        case .int(let value): ["int": String(value)]
        case .unsigned(let value): ["int": String(value)]
        case .double(let value): ["double": String(value.bitPattern)]
        case .string(let value): value
        case .bytes(let value): ["hex": value.map { String(format: "%02x", $0) }.joined()]
        case .list(let values): values.map(plain)
        case .structure(let fields): ["struct": fields.map { [$0.name, plain($0.value)] }]
        }
    }
}
