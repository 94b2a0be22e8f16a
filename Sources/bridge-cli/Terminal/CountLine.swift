/// A line with the number of completed items, shown where a progress bar would be.
struct CountLine {
    /// The number of items.
    let total: Int
    private let isShown = OutputMode.current.showsProgress

    /// A line.
    init(total: Int) { self.total = total }

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
