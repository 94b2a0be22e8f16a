import BridgeCore
import JSONTree
import Synchronization

/// A line on a terminal with progress, speed and remaining time.
final class ProgressBar: Sendable {
    private struct State {
        var start: ContinuousClock.Instant?
        var isShown = false
        /// Whether the line is removed before anything else is printed.
        var isLive = false
    }

    private let state = Mutex(State())

    /// Redraws the line.
    func show(_ progress: BridgeCore.Progress) {
        let now = ContinuousClock.now
        let elapsed = state.withLock { state in
            let start = state.start ?? now
            state.start = start
            (state.isShown, state.isLive) = (true, false)
            return start.duration(to: now)
        }
        let seconds = elapsed.seconds
        let share = progress.totalBytes > 0 ? Double(progress.doneBytes) / Double(progress.totalBytes) : 1
        let rate = seconds > 0.2 ? Double(progress.doneBytes) / seconds : 0
        let speed = rate > 0 ? "\(ByteFormat.text(Int(saturating: rate)))/s" : ""
        let left = rate > 0 ? Self.time(Double(progress.totalBytes - progress.doneBytes) / rate) + " left" : ""
        let line = Self.line(
            activity: progress.activity,
            share: share,
            details: [
                "\(ByteFormat.text(progress.doneBytes)) of \(ByteFormat.text(progress.totalBytes))", speed, left,
            ],
            width: Style.width
        )
        Output.tell("\r\u{1B}[2K" + PrintableText.line(line))
    }

    /// Redraws the line with a state that lasts: the next text on the terminal replaces it, and ``finish()`` removes it.
    func showLive(activity: String, share: Double, details: [String]) {
        state.withLock { ($0.isShown, $0.isLive) = (true, true) }
        // A terminal writes ^C after the line.
        let line = Self.line(activity: activity, share: share, details: details, width: Style.width - 2)
        Output.tell("\r\u{1B}[2K" + PrintableText.line(line))
    }

    /// Removes a line of ``showLive(activity:share:details:)``.
    func erase() {
        let wasShown = state.withLock { state in
            defer { if state.isLive { state.isShown = false } }
            return state.isShown && state.isLive
        }
        if wasShown { Output.tell("\r\u{1B}[2K") }
    }

    /// Whether there is a line.
    var isShown: Bool { state.withLock { $0.isShown } }

    /// The line, which fits into the columns of a terminal: details are dropped, the last one first.
    ///
    /// - Parameters:
    ///   - activity: The name of the activity.
    ///   - share: The completed fraction, from 0 to 1.
    ///   - details: Texts after the percentage, the most important first.
    ///   - width: The columns of the terminal.
    /// - Returns: The line without its end, at most `width - 1` columns wide.
    static func line(activity: String, share: Double, details: [String], width: Int) -> String {
        // The last column stays empty, because some terminals break the line there.
        let room = width - 1
        let percent = "\(Int(saturating: share * 100))".leftPadded(to: 3) + " %"
        let least = "  \(activity) " + String(repeating: " ", count: smallestBar) + " \(percent)"
        var tail = " \(percent)"
        var used = least.count
        for detail in details where !detail.isEmpty {
            guard used + detail.count + 2 <= room else { break }
            tail += "  \(detail)"
            used += detail.count + 2
        }
        guard least.count <= room else { return String("  \(activity)\(tail)".prefix(max(0, room))) }
        let size = min(largestBar, smallestBar + room - used)
        let full = min(max(0, Int(saturating: share * Double(size))), size)
        let bar = Style.bar(String(repeating: "━", count: full)) + String(repeating: "╌", count: size - full)
        return "  \(activity) \(bar)\(tail)"
    }

    private static let smallestBar = 8
    private static let largestBar = 40

    /// Ends the line.
    func finish() {
        erase()
        let wasShown = state.withLock { state in
            defer { state.isShown = false }
            return state.isShown
        }
        if wasShown { Output.tell("\n") }
    }

    /// Seconds as `1:05` or `1:00:05`, rounded up.
    static func time(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 359_999).rounded(.up))
        let two = "\(whole % 60)".leftPadded(to: 2, with: "0")
        return whole < 3600
            ? "\(whole / 60):\(two)"
            : "\(whole / 3600):" + "\(whole / 60 % 60)".leftPadded(to: 2, with: "0") + ":\(two)"
    }
}

extension String {
    /// The text padded on the left to `width` characters.
    func leftPadded(to width: Int, with character: Character = " ") -> String {
        String(repeating: character, count: max(0, width - count)) + self
    }
}
