import Foundation

/// Colours, on a terminal only.
enum Style {
    /// Whether standard error is a terminal with colours.
    static let supportsColor = wantsColours(STDERR_FILENO)
    /// Whether standard output is one.
    static let isFancyOutput = Output.isTerminal && wantsColours(STDOUT_FILENO)

    /// Whether either is one.
    static let isUsed = supportsColor || isFancyOutput

    /// The placeholder of an escape sequence until the text is printed.
    ///
    /// External text is escaped and cannot contain it, because it is random.
    static let mark = "\u{1}\(UInt64.random(in: 0 ... .max))\u{2}"

    private static func wantsColours(_ descriptor: Int32) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        return isatty(descriptor) == 1 && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
    }

    /// The number of columns of the terminal.
    static var width: Int { size.width }

    /// The numbers of columns and lines of the terminal.
    static var size: (width: Int, height: Int) {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 && size.ws_row > 0
        return isKnown ? (Int(size.ws_col), Int(size.ws_row)) : (80, 24)
    }

    /// For standard error.
    static func red(_ text: String) -> String { wrapped(text, 31, 39, supportsColor) }
    /// For standard error.
    static func yellow(_ text: String) -> String { wrapped(text, 33, 39, supportsColor) }
    /// For standard error.
    static func bold(_ text: String) -> String { wrapped(text, 1, 22, supportsColor) }
    /// For a progress bar, on standard error.
    static func bar(_ text: String) -> String { wrapped(text, 32, 39, supportsColor) }
    /// For results, on standard output.
    static func green(_ text: String) -> String { wrapped(text, 32, 39, isFancyOutput) }
    /// For results with a warning, on standard output.
    static func yellowResult(_ text: String) -> String { wrapped(text, 33, 39, isFancyOutput) }
    /// For failed results, on standard output.
    static func redResult(_ text: String) -> String { wrapped(text, 31, 39, isFancyOutput) }

    /// A text between the codes that begin and end a style, to be printed by ``Output``.
    private static func wrapped(_ text: String, _ begin: Int, _ end: Int, _ isWanted: Bool) -> String {
        isWanted ? "\(mark)\(begin)m\(text)\(mark)\(end)m" : text
    }
}
