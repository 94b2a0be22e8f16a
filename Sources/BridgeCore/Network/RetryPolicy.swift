package import BridgeSupport
import CSystem
import Glibc
import JSONTree
import Logging

/// How often a request is retried, and how long it waits before.
///
/// Transient failures are retried: a lost connection, a busy server. Each pause is twice as long as the one before, or
/// as long as the server's `Retry-After`.
public struct RetryPolicy: Sendable {
    /// The most consecutive failures of a request.
    public var attempts = 6
    /// The first pause in seconds.
    public var initialBackoff = 1.0
    /// The longest pause in seconds without `Retry-After`.
    public var longestPause = 8.0
    /// The longest `Retry-After` in seconds that is accepted.
    public var maxRetryAfter = 300.0
    /// The server, for messages.
    package var server = "the hub"
    /// What to do about a server that is busy, for its message; begins with a comma.
    package var advice = ", or log in, which raises its limits"
    /// Receives a message for every pause.
    package var logger = RunContext().logger
    /// Waits for some seconds, or until the closure returns true; tests replace it.
    package var pause: @Sendable (_ seconds: Double, _ isCancelled: () -> Bool) -> Void = RetryPolicy.sleep

    /// Six times, with pauses from 1 to 8 seconds.
    public static let standard = RetryPolicy()

    /// A policy with these values.
    public init(attempts: Int = 6, initialBackoff: Double = 1, longestPause: Double = 8, maxRetryAfter: Double = 300) {
        self.attempts = attempts
        self.initialBackoff = initialBackoff
        self.longestPause = longestPause
        self.maxRetryAfter = maxRetryAfter
    }

    /// Whether a later request to the server can succeed.
    package static func isTransient(_ status: Int) -> Bool { [408, 425, 429, 500, 502, 503, 504].contains(status) }

    /// The outcome of an attempt that did not throw.
    package enum Attempt<Value> {
        /// The result.
        case done(Value)
        /// A failure that a later attempt may not have.
        case failed(reason: String, retryAfter: Double?)
    }

    /// Makes attempts until one succeeds, a failure is not transient, or the attempts are exhausted.
    ///
    /// - Parameters:
    ///   - subject: The start of the messages about pauses, such as the name of a file.
    ///   - mostUnreachable: The most consecutive attempts to reach a host that does not respond.
    ///   - isCancelled: Called several times a second during a pause; true ends it.
    ///   - hasProgress: Called after each failure: whether the attempt got so far that the count of failures starts again.
    ///   - attempt: Makes an attempt; gets whether it is the last one without progress.
    /// - Returns: The result.
    /// - Throws: The last error of the attempts; `BridgeError` with code `cancelled`.
    package func run<Value>(
        about subject: String = "",
        mostUnreachable: Int,
        isCancelled: () -> Bool,
        hasProgress: () -> Bool = { false },
        attempt: (_ isLast: Bool) throws -> Attempt<Value>
    ) throws -> Value {
        var failed = 0
        while true {
            var (most, pause): (Int, Double?) = (attempts, nil)
            let reason: String
            let progress: Bool
            do {
                switch try attempt(failed + 1 >= attempts) {
                case .done(let value): return value
                case .failed(let what, let retryAfter): (reason, pause, progress) = (what, retryAfter, hasProgress())
                }
            } catch let failure as HTTPFailure {
                if [.unreachable, .timeout].contains(failure.kind) { most = min(mostUnreachable, attempts) }
                progress = hasProgress()
                guard failure.isTransient, failed + 1 < most || progress else { throw failure }
                reason = failure.reason
            }
            failed = progress ? 0 : failed + 1
            try wait(
                after: max(0, failed - 1),
                of: most,
                retryAfter: pause,
                because: subject + reason,
                isCancelled: isCancelled
            )
        }
    }

    /// Sends a request until it succeeds, its failure is not transient, or the attempts are exhausted.
    ///
    /// A host that is not reached, or that accepts connections and does not respond, is tried twice only: the network is
    /// probably down, or something else accepts the connections.
    ///
    /// - Returns: The last response, whatever its status.
    /// - Throws: The last error of the request; `BridgeError` with code `cancelled`.
    package func withRetries(isCancelled: () -> Bool, _ request: () throws -> HTTPResponse) throws -> HTTPResponse {
        func makeAttempt(isLast: Bool) throws -> Attempt<HTTPResponse> {
            let response = try request()
            guard Self.isTransient(response.status), !isLast else { return .done(response) }
            return .failed(
                reason: "\(server) responds with status \(response.status)",
                retryAfter: Self.retryAfter(response)
            )
        }
        return try run(mostUnreachable: 2, isCancelled: isCancelled, attempt: makeAttempt)
    }

    /// Waits before the next attempt, and logs the pause.
    ///
    /// - Parameters:
    ///   - failed: The consecutive failures before the last attempt.
    ///   - most: The number of attempts for the message; nil for ``attempts``.
    ///   - retryAfter: The server's `Retry-After` in seconds.
    ///   - reason: Why the last attempt failed.
    ///   - isCancelled: Called several times a second; true ends the pause.
    /// - Throws: `BridgeError` with code `cancelled`, and when `Retry-After` is longer than the policy allows.
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
                "\(server) is busy and requests a pause of \(Int(saturating: retryAfter)) seconds; try again after that\(advice)"
            )
        }
        var pause = initialBackoff
        for _ in 0..<min(failed, 30) { pause *= 2 }
        pause = min(pause, longestPause)
        let what =
            retryAfter.map { "waiting \(Int(saturating: $0.rounded(.up))) s as \(server) requests" } ?? "trying again"
        logger.notice("\(reason); \(what) (\(failed + 2) of \(most ?? attempts))")
        self.pause(retryAfter ?? pause, isCancelled)
        if isCancelled() { throw BridgeError(.cancelled, "interrupted") }
    }

    private static func sleep(_ seconds: Double, _ isCancelled: () -> Bool) {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end, !isCancelled() { usleep(20_000) }
    }

    /// The seconds of `Retry-After` or of the hub's `RateLimit` header; nil for none.
    package static func retryAfter(_ response: HTTPResponse) -> Double? {
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

    /// A valid number of seconds, at most a century; nil otherwise.
    private static func seconds(_ text: some StringProtocol) -> Double? {
        guard let seconds = Double(text), seconds.isFinite else { return nil }
        return min(max(0, seconds), 3_155_760_000)
    }
}
