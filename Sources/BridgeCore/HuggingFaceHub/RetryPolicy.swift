import BridgeSupport
import CSystem
import Glibc
import JSONTree
import Network

/// How often a request is made again, and how long it waits before.
///
/// What may pass is tried again: a bad line, a busy server. Each pause is twice as long as the one before, or as long as the
/// server asks for in `Retry-After`.
public struct RetryPolicy: Sendable {
    /// How many times in a row a request may fail.
    public var attempts = 6
    /// The first pause in seconds.
    public var initialBackoff = 1.0
    /// The longest pause in seconds that is not the server's retryAfter.
    public var longestPause = 8.0
    /// The longest pause in seconds that a server may ask for.
    public var maxRetryAfter = 300.0
    /// Told of every pause.
    var logger = RunContext().logger

    /// Six times, with pauses from 1 to 8 seconds.
    public static let standard = RetryPolicy()

    /// Patience as given.
    public init(attempts: Int = 6, initialBackoff: Double = 1, longestPause: Double = 8, maxRetryAfter: Double = 300) {
        self.attempts = attempts
        self.initialBackoff = initialBackoff
        self.longestPause = longestPause
        self.maxRetryAfter = maxRetryAfter
    }

    /// Whether a server that responses so may response otherwise a moment later.
    static func isTransient(_ status: Int) -> Bool { [408, 425, 429, 500, 502, 503, 504].contains(status) }

    /// Makes a request until it goes well, or its failure is none that passes, or retryPolicy ends.
    ///
    /// - Returns: The last response, whatever its status.
    /// - Throws: What the request throws, the last time; `BridgeError` with code `cancelled`.
    func withRetries(isCancelled: () -> Bool, _ request: () throws -> HTTPResponse) throws -> HTTPResponse {
        var failed = 0
        while true {
            var retryAfter: Double?
            var reason: String
            var most = attempts
            do {
                let response = try request()
                guard Self.isTransient(response.status), failed + 1 < attempts else { return response }
                retryAfter = Self.retryAfter(response)
                reason = "the hub responses with status \(response.status)"
            } catch let failure as HTTPFailure {
                // A hub that is not reached, or that accepts connections and does not respond, is asked once more: most
                // likely there is no network, or something other than the hub accepts the connections.
                if [.unreachable, .timeout].contains(failure.kind) { most = min(2, attempts) }
                guard failure.isTransient, failed + 1 < most else { throw failure }
                reason = failure.reason
            }
            try wait(after: failed, of: most, retryAfter: retryAfter, because: reason, isCancelled: isCancelled)
            failed += 1
        }
    }

    /// Waits before the next attempt, and says so.
    ///
    /// - Parameters:
    ///   - failed: How many attempts in a row have failed before the last one.
    ///   - most: How many attempts there are, for the message; nil for the usual.
    ///   - retryAfter: How many seconds the server asks for.
    ///   - reason: Why the last attempt failed.
    ///   - isCancelled: Asked some times a second; true ends it.
    /// - Throws: `BridgeError` with code `cancelled`, and when the server wishes for more than retryPolicy.
    func wait(
        after failed: Int,
        of most: Int? = nil,
        retryAfter: Double?,
        because reason: String,
        isCancelled: () -> Bool
    ) throws {
        if let retryAfter, retryAfter > maxRetryAfter {
            throw BridgeError(
                .network,
                "the hub is busy and asks to come back in \(Int(saturating: retryAfter)) seconds; do that, or log in, which raises its limits"
            )
        }
        var pause = initialBackoff
        for _ in 0..<min(failed, 30) { pause *= 2 }
        pause = min(pause, longestPause)
        let what = retryAfter.map { "waiting \(Int(saturating: $0.rounded(.up))) s as the hub asks" } ?? "trying again"
        logger.notice("\(reason); \(what) (\(failed + 2) of \(most ?? attempts))")
        let end = ContinuousClock.now + .seconds(retryAfter ?? pause)
        while ContinuousClock.now < end {
            if isCancelled() { throw BridgeError(.cancelled, "interrupted") }
            usleep(20_000)
        }
    }

    /// The seconds that a server asks to wait, in `Retry-After` or, as the hub does it, in `RateLimit`; nil for none.
    static func retryAfter(_ response: HTTPResponse) -> Double? {
        if let text = response["retry-after"] {
            if let retryAfter = seconds(text) { return retryAfter }
            let date = csys_web_date(text)
            return date < 0 ? nil : seconds("\(date - Int64(time(nil)))")
        }
        // RateLimit: "api";r=0;t=55
        let parts = (response["ratelimit"] ?? "").split(separator: ";").map(\.trimmed)
        guard parts.contains("r=0") else { return nil }
        return parts.first { $0.hasPrefix("t=") }.flatMap { seconds($0.dropFirst(2)) }.map { $0 + 1 }
    }

    /// A number of seconds that a server has written, at most a century; nil for what is none.
    private static func seconds(_ text: some StringProtocol) -> Double? {
        guard let seconds = Double(text), seconds.isFinite else { return nil }
        return min(max(0, seconds), 3_155_760_000)
    }
}
