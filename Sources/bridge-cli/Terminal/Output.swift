import Foundation
import Glibc
import JSONTree
import Synchronization

/// Results go to standard output, everything else to standard error.
///
/// External text is escaped, see ``PrintableText``. Standard output that cannot be written is an
/// error of the run, reported at its end; errors of standard error are ignored.
enum Output {
    /// Whether JSON has been printed; a second document would make the first one useless.
    static var hasPrintedJSON: Bool { printedJSON.load(ordering: .relaxed) }

    private static let printedJSON = Atomic(false)
    /// The `errno` of the first failed write; 0 for none.
    private static let failure = Atomic<Int32>(0)
    private static let isOnlyLog = Atomic(false)

    /// Whether writing to standard output failed, so that commands that only print may end.
    static var isBroken: Bool { failure.load(ordering: .relaxed) != 0 }

    /// Treats later output as a log: losing it is a warning, and the run continues.
    static func countsAsLog(_ value: Bool) { isOnlyLog.store(value, ordering: .relaxed) }

    /// The exit status of a run without another error.
    ///
    /// - Returns: 0 when all was written or the reader closed the pipe; 1 when output was
    ///   lost, after reporting the reason.
    static func finish() -> Int32 {
        let number = failure.load(ordering: .relaxed)
        guard number != 0, number != EPIPE else { return 0 }
        // A signal is not an error of the output.
        if number != EINTR {
            printError("\(Failure.prefix)cannot write to standard output: \(reason(number))")
        }
        return 1
    }

    private static func reason(_ number: Int32) -> String {
        number == EBADF ? "it is closed" : String(cString: strerror(number)).lowercased()
    }

    /// Prints a line of the result.
    static func line(_ text: String = "") { put(PrintableText.line(text) + "\n") }

    /// Prints text of several lines and a line break.
    static func lines(_ text: String) { put(PrintableText.lines(text) + "\n") }

    /// Whether results go to a terminal; the launcher of ranks gives them one in any case, and passes on what it has.
    static let isTerminal =
        isatty(STDOUT_FILENO) == 1 && ProcessInfo.processInfo.environment[RankLauncher.pipedOutput] == nil
        && BoundLauncher.writesToTerminal

    /// Prints the bytes of a text unchanged.
    static func text(_ bytes: ArraySlice<UInt8>) { bytes.withUnsafeBytes(put) }

    /// Writes without buffering, so that the lines of both streams are in order in a log.
    private static func put(_ text: String) { Array(text.utf8).withUnsafeBytes(put) }

    private static func put(_ bytes: UnsafeRawBufferPointer) {
        guard !isBroken, !OutputMode.current.isSilentRank else { return }
        Interrupt.hasBegunOutput()
        Watch.bar.erase()
        let number = StandardStreams.write(bytes, to: STDOUT_FILENO)
        guard number != 0 else { return }
        if isOnlyLog.load(ordering: .relaxed) {
            // Each line is retried: space may have been freed.
            guard number != EPIPE, !hasWarned.exchange(true, ordering: .relaxed) else { return }
            let sentence = "cannot write to standard output: \(reason(number)); the run continues"
            printError("\(Style.yellow("warning:")) \(sentence)")
        } else {
            failure.store(number, ordering: .relaxed)
        }
    }

    private static let hasWarned = Atomic(false)

    /// Prints JSON as the result; an object also has the unknown settings of the models that were loaded.
    static func json(_ json: JSON) {
        var json = json
        if json.object != nil, let unknown = SettingsNotice.json { json.set(unknown, at: "unknown_settings") }
        printedJSON.store(true, ordering: .relaxed)
        put(PrintableText.json(String(decoding: json.text(), as: UTF8.self)))
    }

    /// Passes on what another process prints as the result with `--json`.
    static func passOn(_ bytes: some Sequence<UInt8>) {
        printedJSON.store(true, ordering: .relaxed)
        text(Array(bytes)[...])
    }

    /// Prints a line about the run, on the first rank.
    static func printError(_ text: String) {
        if !OutputMode.current.isSilentRank { reportError(text) }
    }

    /// Prints a line about an error, on any rank.
    static func reportError(_ text: String) {
        Watch.bar.erase()
        tell(PrintableText.line(text) + "\n")
    }

    /// Prints a warning about the run.
    static func warn(_ text: String) { printError("\(Style.yellow("warning:")) \(text)") }

    /// Prints lines about the run.
    static func complainLines(_ text: String) {
        Watch.bar.erase()
        tell(PrintableText.lines(text) + "\n")
    }

    /// Writes to standard error a text whose control characters are the program's own.
    static func tell(_ text: String) {
        Array(text.utf8).withUnsafeBytes { _ = StandardStreams.write($0, to: STDERR_FILENO) }
    }

    /// Prints rows with aligned columns, to standard output by default.
    static func table(_ rows: [[String]], indent: String = "", write: (String) -> Void = { line($0) }) {
        let rows = rows.map { $0.map(PrintableText.line) }
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
