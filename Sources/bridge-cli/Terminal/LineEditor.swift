import BridgeCore
import CLineEditor
import Foundation

/// Edits lines at a terminal with libedit: arrows, earlier lines, Ctrl-R; pasted lines are one line.
final class LineEditor {
    private let editor: OpaquePointer
    private let historyPath: String?

    /// The number of lines that are kept.
    private static let size: Int32 = 1000

    /// An editor, if standard input and standard error are terminals.
    ///
    /// - Parameter history: The file with the lines of earlier sessions; nil for none.
    init?(history: String?) {
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1, let made = line_editor_make(Self.size) else {
            return nil
        }
        (editor, historyPath) = (made, history)
        // A file that is none is replaced with the next line.
        if let history, Files.kind(of: history) == .file { _ = line_editor_load(made, history) }
    }

    /// Reads a line.
    ///
    /// - Parameter prompt: The prompt, without escape sequences.
    /// - Returns: The input.
    func read(_ prompt: String) -> TerminalLine.Entry {
        var original = termios()
        if tcgetattr(STDIN_FILENO, &original) == 0 { Interrupt.restoring(original) {} }
        var text: UnsafePointer<CChar>?
        let outcome = line_editor_read(editor, Self.marked(prompt), &text)
        let line = text.map { String(cString: $0) } ?? ""
        switch outcome {
        case LINE_EDITOR_LINE:
            remember(line)
            return .line(line)
        case LINE_EDITOR_INTERRUPTED: return line.isEmpty ? .interrupted : .discarded
        default: return .end
        }
    }

    /// Bold, with the marks of libedit around what has no width.
    private static func marked(_ prompt: String) -> String {
        guard Style.supportsColor else { return prompt }
        return "\u{1}\u{1b}[1m\u{1}\(prompt)\u{1}\u{1b}[22m\u{1}"
    }

    private func remember(_ line: String) {
        guard !line.allSatisfy(\.isWhitespace) else { return }
        line_editor_add(editor, line)
        guard let historyPath else { return }
        let partial = "\(historyPath).\(getpid())"
        do {
            try Files.createDirectory(Files.parent(of: historyPath))
            // The editor writes to a file that is there, which nobody else may read.
            let file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            if file >= 0 { close(file) }
            guard file >= 0, line_editor_save(editor, partial) != 0, rename(partial, historyPath) == 0 else {
                unlink(partial)
                return
            }
        } catch {
            // A home that cannot be written does not end a chat.
        }
    }
}

extension LineEditor {
    /// The file of the lines of all chats: `bridge/chat_history` in `XDG_STATE_HOME` or `~/.local/state`; nil without a home.
    static var chatHistory: String? {
        let variables = ProcessInfo.processInfo.environment
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        guard let state = value("XDG_STATE_HOME") ?? value("HOME").map({ Files.join($0, ".local/state") }) else {
            return nil
        }
        return Files.join(Files.join(state, "bridge"), "chat_history")
    }
}
