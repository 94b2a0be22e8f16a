import BridgeSupport
import CSystem
import Glibc
import JSONTree
import Network

/// How often a request is made again, and how long it waits before.
///
/// What may pass is tried again: a bad line, a busy server. Each pause is twice as long as the one before, or as long as the
/// server asks for in `Retry-After`.
public struct HubPatience: Sendable {
    /// How many times in a row a request may fail.
    public var attempts = 6
    /// The first pause in seconds.
    public var firstPause = 1.0
    /// The longest pause in seconds that is not the server's wish.
    public var longestPause = 8.0
    /// The longest pause in seconds that a server may ask for.
    public var longestWish = 300.0
    /// Told of every pause.
    var logger = RunContext().logger

    /// Six times, with pauses from 1 to 8 seconds.
    public static let standard = HubPatience()

    /// Patience as given.
    public init(attempts: Int = 6, firstPause: Double = 1, longestPause: Double = 8, longestWish: Double = 300) {
        self.attempts = attempts
        self.firstPause = firstPause
        self.longestPause = longestPause
        self.longestWish = longestWish
    }

    /// Whether a server that answers so may answer otherwise a moment later.
    static func isPassing(_ status: Int) -> Bool { [408, 425, 429, 500, 502, 503, 504].contains(status) }

    /// Makes a request until it goes well, or its failure is none that passes, or patience ends.
    ///
    /// - Returns: The last answer, whatever its status.
    /// - Throws: What the request throws, the last time; `BridgeError` with code `cancelled`.
    func trying(isCancelled: () -> Bool, _ request: () throws -> HTTPAnswer) throws -> HTTPAnswer {
        var failed = 0
        while true {
            var wish: Double?
            var reason: String
            var most = attempts
            do {
                let answer = try request()
                guard Self.isPassing(answer.status), failed + 1 < attempts else { return answer }
                wish = Self.wish(answer)
                reason = "the hub answers with status \(answer.status)"
            } catch let failure as HTTPFailure {
                // Whom nobody reaches is asked once more and no oftener: there is most likely no network.
                if failure.kind == .unreachable { most = min(2, attempts) }
                guard failure.isPassing, failed + 1 < most else { throw failure }
                reason = failure.reason
            }
            try wait(after: failed, of: most, wish: wish, because: reason, isCancelled: isCancelled)
            failed += 1
        }
    }

    /// Waits before the next attempt, and says so.
    ///
    /// - Parameters:
    ///   - failed: How many attempts in a row have failed before the last one.
    ///   - most: How many attempts there are, for the message; nil for the usual.
    ///   - wish: How many seconds the server asks for.
    ///   - reason: Why the last attempt failed.
    ///   - isCancelled: Asked some times a second; true ends it.
    /// - Throws: `BridgeError` with code `cancelled`, and when the server wishes for more than patience.
    func wait(
        after failed: Int,
        of most: Int? = nil,
        wish: Double?,
        because reason: String,
        isCancelled: () -> Bool
    ) throws {
        if let wish, wish > longestWish {
            throw BridgeError(
                .network,
                "the hub is busy and asks to come back in \(Int(saturating: wish)) seconds; do that, or log in, which raises its limits"
            )
        }
        var pause = firstPause
        for _ in 0..<min(failed, 30) { pause *= 2 }
        pause = min(pause, longestPause)
        let what = wish.map { "waiting \(Int(saturating: $0.rounded(.up))) s as the hub asks" } ?? "trying again"
        logger.notice("\(reason); \(what) (\(failed + 2) of \(most ?? attempts))")
        let end = ContinuousClock.now + .seconds(wish ?? pause)
        while ContinuousClock.now < end {
            if isCancelled() { throw BridgeError(.cancelled, "stopped as asked") }
            usleep(20_000)
        }
    }

    /// The seconds that a server asks to wait, in `Retry-After` or, as the hub does it, in `RateLimit`; nil for none.
    static func wish(_ answer: HTTPAnswer) -> Double? {
        if let text = answer["retry-after"] {
            if let wish = seconds(text) { return wish }
            let date = csys_web_date(text)
            return date < 0 ? nil : seconds("\(date - Int64(time(nil)))")
        }
        // RateLimit: "api";r=0;t=55
        let parts = (answer["ratelimit"] ?? "").split(separator: ";").map(\.trimmed)
        guard parts.contains("r=0") else { return nil }
        return parts.first { $0.hasPrefix("t=") }.flatMap { seconds($0.dropFirst(2)) }.map { $0 + 1 }
    }

    /// A number of seconds that a server has written, at most a century; nil for what is none.
    private static func seconds(_ text: some StringProtocol) -> Double? {
        guard let seconds = Double(text), seconds.isFinite else { return nil }
        return min(max(0, seconds), 3_155_760_000)
    }
}
