import BridgeSupport
import Glibc
import JSONTree
import Network

/// Downloads an image.
struct Download {
    /// The address.
    var url: String
    /// The most bytes that are accepted.
    var mostBytes: Int
    /// The most seconds that it may take.
    var seconds: Double
    /// The connection settings.
    var settings = HTTPSettings.process

    /// The bytes at the address.
    ///
    /// - Throws: `BridgeError` when they exceed the limits or cannot be downloaded, or the caller cancels.
    func bytes(cancellation: Cancellation) throws -> [UInt8] {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var settings = settings
        settings.idleSeconds = seconds
        settings.connectSeconds = seconds
        settings.leastRateSeconds = seconds
        var bytes: [UInt8] = []
        let response: HTTPResponse
        do {
            response = try HTTPConnection(settings).follow(
                HTTPRequest(address: url),
                isCancelled: { cancellation.isCancelled || ContinuousClock.now > deadline },
                take: { response, piece in
                    guard (200..<300).contains(response.status) else { return false }
                    try check(announced: Int(response["content-length"] ?? "") ?? 0)
                    bytes += piece
                    guard bytes.count <= mostBytes else {
                        throw failure("it has more than the \(mostBytes) bytes that are taken")
                    }
                    return true
                }
            )
        } catch let failure as HTTPFailure {
            throw self.failure(Self.words(failure, failure.address == url))
        } catch let error as BridgeError where error.code == .cancelled && !cancellation.isCancelled {
            throw self.failure("it took more than \(Int(saturating: seconds)) seconds")
        }
        guard (200..<300).contains(response.status) else {
            throw failure("the server responses with status \(response.status)")
        }
        return bytes
    }

    private func check(announced count: Int) throws {
        guard count <= mostBytes else {
            throw failure("it has \(count) bytes and at most \(mostBytes) are taken")
        }
    }

    private func failure(_ reason: String) -> BridgeError {
        BridgeError(.network, "\(url) cannot be fetched: \(reason)")
    }

    private static func words(_ failure: HTTPFailure, _ isFirst: Bool) -> String {
        switch failure.kind {
        case .invalidURL where isFirst: "it is not an http:// or https:// address (\(failure.reason))"
        case .invalidURL: "it leads to an address that is not http:// or https://"
        case .unencryptedRedirect:
            "it is encrypted and leads to \(failure.reason), which is not; give an address that stays encrypted"
        case .endlessRedirects: "it leads from one address to the next without an end"
        case .unreachable: "no connection (\(failure.reason))"
        case .proxy: "the proxy does not help (\(failure.reason))"
        case .certificate: "the server's certificate is not trusted (\(failure.reason)); SSL_CERT_FILE names others"
        case .timeout: "the server does not response in time (\(failure.reason))"
        case .cut: "the connection ended too early (\(failure.reason))"
        case .other: failure.reason
        }
    }
}
