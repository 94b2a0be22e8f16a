import BridgeSupport
import Network

extension Hub {
    /// The response of the hub to a request for nothing.
    public struct Access: Sendable {
        /// The status of the response, such as 200.
        public var status: Int
        /// The seconds until the response.
        public var seconds: Double
        /// Whether the hub does not accept the token.
        public var refusesToken: Bool
    }

    /// Requests nothing from the hub, once: the user of the token, or the start page without one.
    ///
    /// - Parameter seconds: The longest wait.
    /// - Returns: The response.
    /// - Throws: `BridgeError` with code `network` when there is no response in time, and for an invalid address or token;
    ///   with `fileSystem` when the library of HTTP cannot be loaded.
    public func access(atMost seconds: Double) throws -> Access {
        try environment.check()
        var environment = environment
        environment.http.connectSeconds = seconds
        let client = try HubClient(
            environment,
            idleSeconds: seconds,
            isCancelled: { [context] in context.cancellation.isCancelled }
        )
        let address = environment.endpoint + (environment.token == nil ? "/" : "/api/whoami-v2")
        let (begin, limit) = (ContinuousClock.now, Duration.seconds(seconds))
        do {
            let response = try client.follow(
                HTTPRequest(method: "HEAD", address: address),
                whileWaiting: {
                    guard ContinuousClock.now - begin < limit else {
                        throw HTTPFailure(kind: .timeout, reason: "no response within \(seconds) s")
                    }
                },
                take: { _, _ in true }
            )
            return Access(
                status: response.status,
                seconds: (ContinuousClock.now - begin).seconds,
                refusesToken: environment.token != nil && response.status == 401
            )
        } catch let failure as HTTPFailure {
            throw failure.error("the cached repositories", environment, isHere: true)
        }
    }
}
