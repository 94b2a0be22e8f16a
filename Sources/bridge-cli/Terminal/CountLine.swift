import Glibc

/// A line on a terminal with the number of completed items.
struct CountLine {
    /// The number of items.
    let total: Int
    private let isShown: Bool

    /// A line.
    ///
    /// - Parameters:
    ///   - isShown: Whether to show it; it is shown on a terminal only.
    ///   - total: The number of items.
    init(isShown: Bool, total: Int) {
        self.total = total
        self.isShown = isShown && isatty(STDERR_FILENO) == 1
    }

    /// Shows the number of completed items.
    func show(_ done: Int, _ note: String) {
        guard isShown else { return }
        Output.tell("\r\u{1B}[2K" + PrintableText.line("  \(done) of \(total), \(note)"))
    }

    /// Removes the line.
    func finish() {
        if isShown { Output.tell("\r\u{1B}[2K") }
    }
}
