import BridgeCore
import Foundation

/// What `mpirun` and the ranks write to standard error, without the launcher's own explanations.
///
/// Of those one is needed: which rank was killed, by which signal, or which host is lost. The ranks report everything else
/// themselves, and of their errors the first is the cause.
struct LauncherReport: Sendable {
    /// Parts of lines about the launcher's own messages.
    private static let noise = [
        "ORTE_ERROR_LOG", "has sent help message", "have sent help message", "orte_base_help_aggregate",
        "mpirun: Forwarding signal", "mpirun: abort is already in progress",
    ]

    /// How many of the launcher's own lines are shown where nothing else tells why it ended.
    private static let shownLines = 24

    private let write: @Sendable (String) -> Void
    private var rest: [UInt8] = []
    private var isInBlock = false
    /// Whether a rank has reported the error that ends the run.
    private(set) var hasError = false
    /// Whether a rank has ended by itself, or printed an error, and the launcher's own lines are about that.
    private var hasRankEnded = false
    private var ownLines: [String] = []
    private var isAfterSecondError = false
    private var loss: String?
    private var missing: String?

    init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

    /// Reads more bytes.
    mutating func read(_ bytes: Data) {
        rest += bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            line(String(decoding: rest[..<end], as: UTF8.self))
            rest.removeSubrange(...end)
        }
    }

    /// Writes what has no end of line.
    ///
    /// - Parameters:
    ///   - status: The status of the launcher, which failed.
    ///   - advice: What to do about a killed rank.
    /// - Returns: The error of a killed rank, a lost host or the launcher itself; nil where a rank has reported one.
    mutating func finish(status: Int32, advice: String) -> BridgeError? {
        if !rest.isEmpty { line(String(decoding: rest, as: UTF8.self)) }
        rest = []
        guard !hasError else { return nil }
        if let missing { return BridgeError(.rankFailed, missing) }
        if let loss { return BridgeError(.rankFailed, "\(loss); \(advice)") }
        guard !hasRankEnded, status != 130 else { return nil }
        return BridgeError(
            .rankFailed,
            "mpirun ended with status \(status), and no rank has reported why"
                + (ownLines.isEmpty ? "; it printed no message" : "; its last lines:"),
            names: ownLines
        )
    }

    /// Records what ended the run, unless something else was found before.
    mutating func hasLost(_ what: String) { loss = loss ?? what }

    private mutating func line(_ text: String) {
        // The launcher's explanations are between lines of dashes.
        if text.count > 40, text.allSatisfy({ $0 == "-" }) {
            isInBlock.toggle()
            return
        }
        if let found = Self.killedRank(text) ?? Self.lostHost(text) { hasLost(found) }
        missing = missing ?? Self.unreachedHost(text)
        guard !isInBlock, !Self.isOfLauncher(text) else {
            hasRankEnded = hasRankEnded || text.contains(#/MPI_ABORT was invoked|non-zero (exit code|status)/#)
            let line = text.trimmingCharacters(in: .whitespaces)
            if !line.isEmpty { ownLines = ownLines.suffix(Self.shownLines - 1) + [line] }
            return
        }
        if text.contains(#/^(\e\[[0-9;]*m)*error:/#) { hasRankEnded = true }
        if text.contains(#/^(\e\[[0-9;]*m)*error:(\e\[[0-9;]*m)* rank \d+: /#) {
            isAfterSecondError = hasError
            hasError = true
        } else if !text.hasPrefix("  ") {
            isAfterSecondError = false
        }
        if !isAfterSecondError { write(text) }
    }

    /// Messages of Open MPI, which begin with the host and the process, or have a part that no line of a rank has.
    private static func isOfLauncher(_ text: String) -> Bool {
        text.contains(#/^\[[^\[\]]+:\d+\]|^\[[^\[\]]+\]\[\[\d+,\d+\]|^\[warn\] Epoll|^mpirun: /#)
            || noise.contains(where: text.contains)
    }

    /// A rank that a signal has ended.
    ///
    /// For example `mpirun noticed that process rank 1 with PID 0 on node host exited on signal 9 (Killed).`
    private static func killedRank(_ text: String) -> String? {
        text.firstMatch(of: #/process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+) \((.*?)\)/#).map {
            "rank \($0.1) on \($0.2) was ended by signal \($0.3) (\($0.4.lowercased()))"
        }
    }

    /// A host to which ssh has no connection.
    ///
    /// For example `ssh: Could not resolve hostname node7: Name or service not known`, `ssh: connect to host node7 port 22:
    /// Connection refused` and `Connection to 10.0.0.7 port 22 timed out`.
    private static func unreachedHost(_ text: String) -> String? {
        let patterns = [
            #/^ssh: Could not resolve hostname (?<host>\S+?): (?<why>.*)/#,
            #/^ssh: connect to host (?<host>\S+) port \d+: (?<why>.*)/#,
            #/^Connection to (?<host>\S+) port \d+ (?<why>timed out)/#,
        ]
        return patterns.lazy.compactMap { text.firstMatch(of: $0) }.first.map {
            "the host \($0.host) of the hostfile cannot be reached: \($0.why.trimmingCharacters(in: .whitespaces)); correct the file, or "
                + "make 'ssh \($0.host)' work without a password"
        }
    }

    /// A host whose connection was lost.
    ///
    /// For example `  Remote daemon: [[4718,0],1] on node 10.77.0.2`.
    private static func lostHost(_ text: String) -> String? {
        text.firstMatch(of: #/Remote daemon: \S+ on node (\S+)/#).map { "the connection to the host \($0.1) was lost" }
    }
}
