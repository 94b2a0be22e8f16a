import Foundation

/// Colours, on a terminal only.
enum Style {
    /// Whether standard error is a terminal that wants colours.
    static let isFancy: Bool = {
        let environment = ProcessInfo.processInfo.environment
        return isatty(STDERR_FILENO) == 1 && environment["NO_COLOR"] == nil && environment["TERM"] != "dumb"
    }()

    /// How many columns the terminal has.
    static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    static func red(_ text: String) -> String { isFancy ? "\u{1B}[31m\(text)\u{1B}[39m" : text }
    static func green(_ text: String) -> String { isFancy ? "\u{1B}[32m\(text)\u{1B}[39m" : text }
    static func bold(_ text: String) -> String { isFancy ? "\u{1B}[1m\(text)\u{1B}[22m" : text }
}
