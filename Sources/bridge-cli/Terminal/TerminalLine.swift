import Glibc

/// A line typed at a terminal, where Ctrl-C discards the line and does not end the program.
///
/// The terminal's line editing is kept: Ctrl-C becomes a character that ends a line, because a signal discards the line before
/// the program can check whether it is empty.
enum TerminalLine {
    /// The arguments.
    enum Entry {
        case line(String)
        /// Ctrl-C after some characters.
        case discarded
        /// Ctrl-C on an empty line.
        case interrupted
        /// Ctrl-D on an empty line.
        case end
    }

    private static let interrupt: UInt8 = 3

    /// Reads a line from the terminal that is standard input.
    ///
    /// - Parameter ask: Prints the prompt, once the terminal is ready.
    /// - Returns: The input.
    static func read(_ ask: () -> Void) -> Entry {
        var original = termios()
        guard tcgetattr(STDIN_FILENO, &original) == 0 else {
            ask()
            return collect()
        }
        var changed = original
        withUnsafeMutableBytes(of: &changed.c_cc) { characters in
            // `_POSIX_VDISABLE` of Linux: no character sends the signal.
            characters[Int(VINTR)] = 0
            characters[Int(VEOL)] = interrupt
        }
        Interrupt.restoring(original) { tcsetattr(STDIN_FILENO, TCSANOW, &changed) }
        defer { tcsetattr(STDIN_FILENO, TCSANOW, &original) }
        ask()
        return collect()
    }

    private static func collect() -> Entry {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return bytes.isEmpty ? .end : .line(String(decoding: bytes, as: UTF8.self)) }
            bytes += buffer[..<count]
            switch bytes.last {
            case UInt8(ascii: "\n"): return .line(String(decoding: bytes.dropLast(), as: UTF8.self))
            case interrupt: return bytes.count > 1 ? .discarded : .interrupted
            default: continue
            }
        }
    }
}
