import Foundation

/// What `mpirun` and the ranks write to standard error, without the launcher's own explanations.
///
/// Of those only one is needed: which rank was killed, by which signal. The ranks report everything else themselves.
struct LauncherReport {
    /// Parts of lines about the launcher's own messages.
    private static let noise = [
        "ORTE_ERROR_LOG", "has sent help message", "have sent help message", "orte_base_help_aggregate",
        "mpirun: Forwarding signal", "mpirun: abort is already in progress",
    ]

    /// What to do about a killed rank.
    private let advice: String
    private let write: (String) -> Void
    private var rest: [UInt8] = []
    private var isInBlock = false
    private var hasError = false
    private var killed: String?

    init(advice: String, _ write: @escaping (String) -> Void) {
        self.advice = advice
        self.write = write
    }

    /// Reads more bytes.
    mutating func read(_ bytes: Data) {
        rest += bytes
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            line(String(decoding: rest[..<end], as: UTF8.self))
            rest.removeSubrange(...end)
        }
    }

    /// Reports a killed rank, when no rank has reported an error, and what has no end of line.
    mutating func finish() {
        if !rest.isEmpty { line(String(decoding: rest, as: UTF8.self)) }
        if let killed, !hasError { write("\(Failure.prefix)\(killed)") }
    }

    private mutating func line(_ text: String) {
        // The launcher's explanations are between lines of dashes.
        if text.count > 40, text.allSatisfy({ $0 == "-" }) {
            isInBlock.toggle()
            return
        }
        if let found = killedRank(text) { killed = found }
        guard !isInBlock, !Self.noise.contains(where: text.contains), !text.hasPrefix("[warn] Epoll") else { return }
        if text.contains("error:") { hasError = true }
        write(text)
    }

    /// The sentence about a killed rank, from the launcher's line about it; nil for another line.
    private func killedRank(_ text: String) -> String? {
        let end = #/process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+) \((.*?)\)/#
        guard let match = text.firstMatch(of: end) else { return nil }
        return "rank \(match.1) on \(match.2) was ended by signal \(match.3) (\(match.4.lowercased())); \(advice)"
    }
}
