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

    /// Whether results go to a terminal.
    static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// Prints bytes of a text as they are.
    static func text(_ bytes: ArraySlice<UInt8>) { bytes.withUnsafeBytes(put) }

    /// Writes at once, so that in a log the lines stand in the order in which they were said.
    private static func put(_ text: String) { Array(text.utf8).withUnsafeBytes(put) }

    private static func put(_ bytes: UnsafeRawBufferPointer) {
        var done = 0
        while done < bytes.count {
            let count = write(STDOUT_FILENO, bytes.baseAddress.map { $0 + done }, bytes.count - done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                // Whoever read along has seen enough, or the disk is full.
                if errno != EPIPE {
                    let reason = String(cString: strerror(errno)).lowercased()
                    complain("\(Style.red("error:")) cannot write to standard output: \(reason)")
                }
                exit(1)
            }
            done += count
        }
    }

    /// Prints JSON as the result; an object also has the unknown settings of the models that were loaded.
    static func json(_ json: JSON) {
        var json = json
        if json.object != nil, let unknown = SettingsNotice.json { json.set(unknown, at: "unknown_settings") }
        printedJSON.store(true, ordering: .relaxed)
        put(String(decoding: json.text(), as: UTF8.self))
    }

    /// Prints a line about the run.
    static func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    /// Prints rows with their columns below each other; to standard output unless `write` takes the lines.
    static func table(_ rows: [[String]], indent: String = "", write: (String) -> Void = { line($0) }) {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { column in
            rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0
        }
        for row in rows {
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
            }
            var text = indent + cells.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            write(text)
        }
    }
}
