import Glibc

/// A line on a terminal that shows how many of some things are done.
struct CountLine {
    /// How many there are.
    let total: Int
    private let isShown: Bool

    /// A line.
    ///
    /// - Parameters:
    ///   - isShown: Whether it is wanted; it is shown on a terminal only.
    ///   - total: How many there are.
    init(isShown: Bool, total: Int) {
        self.total = total
        self.isShown = isShown && isatty(STDERR_FILENO) == 1
    }

    /// Shows how many are done.
    func show(_ done: Int, _ note: String) {
        guard isShown else { return }
        Output.tell("\r\u{1B}[2K" + PrintableText.line("  \(done) of \(total), \(note)"))
    }

    /// Removes the line.
    func finish() {
        if isShown { Output.tell("\r\u{1B}[2K") }
    }
}
