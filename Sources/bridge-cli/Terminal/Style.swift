import Foundation

/// Colours, on a terminal only.
enum Style {
    /// Whether standard error is a terminal that wants colours.
    static let isFancy = wantsColours(STDERR_FILENO)
    /// Whether standard output is one.
    static let isFancyOutput = wantsColours(STDOUT_FILENO)

    private static func wantsColours(_ descriptor: Int32) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        return isatty(descriptor) == 1 && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
    }

    /// How many columns the terminal has.
    static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    /// For standard error.
    static func red(_ text: String) -> String { isFancy ? "\u{1B}[31m\(text)\u{1B}[39m" : text }
    /// For standard error.
    static func bold(_ text: String) -> String { isFancy ? "\u{1B}[1m\(text)\u{1B}[22m" : text }
    /// For a progress bar, on standard error.
    static func bar(_ text: String) -> String { isFancy ? "\u{1B}[32m\(text)\u{1B}[39m" : text }
    /// For results, on standard output.
    static func green(_ text: String) -> String { isFancyOutput ? "\u{1B}[32m\(text)\u{1B}[39m" : text }
    /// For results that are not as they should be, on standard output.
    static func redResult(_ text: String) -> String { isFancyOutput ? "\u{1B}[31m\(text)\u{1B}[39m" : text }
}
