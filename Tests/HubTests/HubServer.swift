import BridgeCore
import Foundation
import FoundationNetworking
import JSONTree
import TestSupport
import Testing

/// A hub on this machine (Tests/HubServer/hub_server.py) with repositories in a directory of its own, and a cache beside it.
final class HubServer {
    /// A request that it got.
    struct Request {
        var method: String
        var path: String
        var host: String
        var authorization: String
        var range: String
        /// The bytes that it gave as the response's body.
        var sent: Int
    }

    /// The token that it accepts.
    static let token = "hf_test"

    let endpoint: String
    let storage: String
    /// The directory of the repositories.
    var root: URL { directory.url }
    private let directory: TemporaryDirectory
    /// The certificate of its own that it shows; nil for one without TLS.
    let certificate: String?
    private let server: PythonServer

    /// Starts one.
    init(isEncrypted: Bool = false) throws {
        directory = try TemporaryDirectory()
        server = try PythonServer("hub_server.py", [directory.path] + (isEncrypted ? ["--tls"] : []))
        endpoint = try #require(server.announcement["endpoint"]?.string)
        storage = try #require(server.announcement["storage"]?.string)
        certificate = server.announcement["certificate"]?.string
    }

    /// Puts a file into a repository.
    @discardableResult
    func put(_ path: String, _ bytes: [UInt8], in repository: String = "models/org/name") throws -> [UInt8] {
        let url = root.appending(path: "\(repository)/\(path)")
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return bytes
    }

    /// Puts a text into a repository.
    func put(_ path: String, _ text: String, in repository: String = "models/org/name") throws {
        try put(path, Array(text.utf8), in: repository)
    }

    /// Puts all files of a directory into a repository.
    func put(directory: String, in repository: String = "models/org/name") throws {
        for (name, bytes) in try contents(of: directory) { try put(name, [UInt8](bytes), in: repository) }
    }

    /// Lets the next requests go wrong, as the server's own text says.
    func fail(_ faults: JSON...) async throws {
        var request = URLRequest(url: try #require(URL(string: "\(endpoint)/_faults")))
        request.httpMethod = "POST"
        request.httpBody = Data(JSON.array(faults).text())
        _ = try await URLSession.shared.data(for: request)
    }

    /// The requests so far.
    func log() async throws -> [Request] {
        let data = try await URLSession.shared.data(from: try #require(URL(string: "\(endpoint)/_log"))).0
        return try (try JSON(parsing: [UInt8](data)).array ?? []).map { json in
            Request(
                method: try #require(json["method"]?.string),
                path: try #require(json["path"]?.string),
                host: try #require(json["host"]?.string),
                authorization: try #require(json["authorization"]?.string),
                range: try #require(json["range"]?.string),
                sent: try #require(json["sent"]?.integer)
            )
        }
    }

    /// The directory that `HF_HOME` names.
    var home: String { root.appending(path: "home").path }

    /// What an environment says so that programs ask this hub.
    var variables: [String: String] { ["HF_ENDPOINT": endpoint, "HF_HOME": home, "NO_PROXY": "*"] }

    /// The hub as a program sees it, with a cache beside the repositories.
    func hub(_ variables: [String: String] = [:], cachePolicy: Hub.CachePolicy = .ifMissing) -> Hub {
        Hub(
            environment: HubEnvironment(variables: self.variables.merging(variables) { $1 }),
            cachePolicy: cachePolicy,
            retryPolicy: RetryPolicy(attempts: 4, initialBackoff: 0.01, longestPause: 0.05)
        )
    }

    /// Bytes that nothing repeats in.
    static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<count).map { _ in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return UInt8(truncatingIfNeeded: state >> 32)
        }
    }
}
