public import BridgeSupport
import Glibc
public import JSONTree
public import Logging
import Synchronization

/// A server that takes and gives JSON over HTTP.
///
/// Transient failures are retried (``RetryPolicy``). Secrets are sent to the server's own address only, not to the targets of
/// redirects.
public final class JSONService: Sendable {
    /// The response to a request.
    public struct Response: Sendable {
        /// The status, such as 200.
        public var status: Int
        /// The body; null for one that is empty or not JSON.
        public var body: JSON
    }

    private let name: String
    private let root: String
    private let authorization: String?
    private let settings: HTTPSettings
    private let retryPolicy: RetryPolicy
    /// Two requests at the same time would need two connections.
    private let turn = Mutex(())

    /// The largest response in bytes.
    private static let mostBytes = 16 << 20

    /// A service.
    ///
    /// - Parameters:
    ///   - root: The address that paths are added to, `http://` or `https://`.
    ///   - name: The server, for messages.
    ///   - authorization: The value of the header `Authorization`; nil for none.
    ///   - settings: Proxies, certificates and timeouts; nil for those of the environment.
    ///   - retryPolicy: How often a request is retried.
    ///   - logger: Receives a message for every pause.
    public init(
        _ root: String,
        name: String,
        authorization: String? = nil,
        settings: HTTPSettings? = nil,
        retryPolicy: RetryPolicy = .standard,
        logger: Logger = RunContext().logger
    ) {
        self.root = String(root.reversed().drop { $0 == "/" }.reversed())
        self.name = name
        self.authorization = authorization
        self.settings = settings ?? .process
        var retryPolicy = retryPolicy
        (retryPolicy.server, retryPolicy.advice, retryPolicy.logger) = (name, "", logger)
        self.retryPolicy = retryPolicy
    }

    /// Sends a request.
    ///
    /// - Parameters:
    ///   - method: The method, such as `POST`.
    ///   - path: What follows the address of the server, with its slash.
    ///   - body: The body; nil for none.
    ///   - isRepeatable: Whether transient failures are retried.
    ///   - cancellation: Ends the request.
    /// - Returns: The response, whatever its status.
    /// - Throws: `BridgeError` with code `network` for a server that is not reached or gives no response in time, and with code
    ///   `cancelled`.
    public func send(
        _ method: String,
        _ path: String,
        _ body: JSON? = nil,
        isRepeatable: Bool = true,
        cancellation: Cancellation = Cancellation()
    ) throws -> Response {
        try turn.withLock { _ in
            var request = HTTPRequest(
                method: method,
                address: root + path,
                body: body.map { .bytes($0.text(pretty: false)) }
            )
            request.headers = [("User-Agent", "bridge"), ("Accept-Encoding", "identity")]
            if body != nil { request.headers.append(("Content-Type", "application/json")) }
            var policy = retryPolicy
            if !isRepeatable { policy.attempts = 1 }
            var bytes: [UInt8] = []
            do {
                let connection = try HTTPConnection(settings)
                let response = try policy.withRetries(isCancelled: { cancellation.isCancelled }) {
                    bytes = []
                    return try connection.follow(
                        request,
                        addHeaders: { [authorization, root] address in
                            guard let authorization, try WebURL.haveOneOrigin(address, root) else { return [] }
                            return [("Authorization", authorization)]
                        },
                        isCancelled: { cancellation.isCancelled },
                        take: { _, piece in
                            bytes += piece
                            return bytes.count <= Self.mostBytes
                        }
                    )
                }
                return Response(status: response.status, body: (try? JSON(parsing: bytes)) ?? .null)
            } catch let failure as HTTPFailure {
                throw BridgeError(.network, "\(name) at \(WebURL.shown(root)) \(Self.problem(failure))")
            }
        }
    }

    private static func problem(_ failure: HTTPFailure) -> String {
        switch failure.kind {
        case .invalidURL: "has no valid address (\(failure.reason)); expected http:// or https:// and a host"
        case .unencryptedRedirect: "redirects to \(failure.reason), which is not encrypted; check the address"
        case .endlessRedirects: "redirects too often; check the address"
        case .unreachable: "cannot be reached (\(failure.reason)); check the address and that the server runs"
        case .proxy: "is not reached through the proxy (\(failure.reason)); check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
        case .certificate: "has a certificate that is not trusted (\(failure.reason)); SSL_CERT_FILE names others"
        case .timeout: "gives no response in time (\(failure.reason)); check that the server runs"
        case .cut: "has closed the connection (\(failure.reason)); check that the server runs"
        case .other: "does not respond (\(failure.reason)); check the address and that the server runs"
        }
    }
}
