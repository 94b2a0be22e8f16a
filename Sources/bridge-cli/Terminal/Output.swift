import Foundation
import JSONTree
import Synchronization

/// Results go to standard output, everything else to standard error.
enum Output {
    /// Whether JSON has been printed; a second document would make the first one useless.
    static var hasPrintedJSON: Bool { printedJSON.load(ordering: .relaxed) }

    private static let printedJSON = Atomic(false)

    /// Prints a line of the result.
    static func line(_ text: String = "") { put(text + "\n") }

    /// Prints bytes of a text as they are.
    static func text(_ bytes: ArraySlice<UInt8>) {
        do { try FileHandle.standardOutput.write(contentsOf: Data(bytes)) } catch { exit(1) }
    }

    /// Writes at once, so that in a log the lines stand in the order in which they were said.
    private static func put(_ text: String) {
        do { try FileHandle.standardOutput.write(contentsOf: Data(text.utf8)) } catch { exit(1) }
    }

    /// Prints JSON as the result.
    static func json(_ json: JSON) {
        printedJSON.store(true, ordering: .relaxed)
        put(String(decoding: json.text(), as: UTF8.self))
    }

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
            var text = indent + cells.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            line(text)
        }
    }
}
