import Foundation
import JSONTree

/// Results go to standard output, everything else to standard error.
enum Output {
    /// Prints a line of the result.
    static func line(_ text: String = "") { print(text) }

    /// Prints JSON as the result.
    static func json(_ json: JSON) { print(String(decoding: json.text(), as: UTF8.self), terminator: "") }

    /// Prints a line about the run.
    static func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    /// Prints rows with their columns below each other.
    static func table(_ rows: [[String]], indent: String = "") {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { column in
            rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0
        }
        for row in rows {
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
            }
            print(indent + cells.joined(separator: "  "))
        }
    }
}
