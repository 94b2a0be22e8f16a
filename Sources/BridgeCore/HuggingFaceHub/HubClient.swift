import BridgeSupport
import CheckpointFormats
import Glibc
import JSONTree
import Network
import Tokenizers

/// Requests information about repositories from the hub.
final class HubClient {
    let environment: HubEnvironment
    let retryPolicy: RetryPolicy
    let isCancelled: () -> Bool
    private let connection: HTTPConnection

    /// The largest response that is not a file, in bytes.
    private static let mostBytes = 256 << 20

    /// A client for one thread.
    ///
    /// - Throws: `BridgeError` when libcurl is not installed.
    init(
        _ environment: HubEnvironment,
        retryPolicy: RetryPolicy = .standard,
        idleSeconds: Double? = nil,
        isCancelled: @escaping () -> Bool
    ) throws {
        self.environment = environment
        self.retryPolicy = retryPolicy
        self.isCancelled = isCancelled
        var http = environment.http
        if let idleSeconds { http.idleSeconds = idleSeconds }
        connection = try HTTPConnection(http)
    }

    /// The current commit of a revision.
    ///
    /// - Throws: `BridgeError` with code `network`.
    func commit(of repository: HubRepository) throws -> String {
        let address = "\(environment.endpoint)/\(repository.api)/revision/\(WebURL.escaped(repository.revision))"
        let (response, json) = try send(HTTPRequest(address: address), about: repository, accepting: [401, 404])
        guard (200..<300).contains(response.status) else {
            let errorResponse = HubErrorResponse(response: response, repository: repository, environment: environment)
            throw errorResponse.isAboutName && hasTwin(repository)
                ? errorResponse.wrongRepositoryTypeError : errorResponse.error
        }
        guard let commit = json["sha"]?.string, HubRepository.isCommit(commit) else {
            throw BridgeError(
                .network,
                "the response of \(address) has no commit of \(repository), so it is not a hub; check HF_ENDPOINT and the proxy"
            )
        }
        return commit
    }

    /// Whether the other repository type has a repository of this name.
    private func hasTwin(_ repository: HubRepository) -> Bool {
        let otherType = repository.otherType
        let request = HTTPRequest(address: "\(environment.endpoint)/\(otherType.api)")
        return (try? send(request, about: otherType, isRepeatable: false, isJSON: false)) != nil
    }

    /// The files of a commit.
    ///
    /// - Throws: `BridgeError` with code `network`.
    func listing(_ commit: String, of repository: HubRepository) throws -> HubListing {
        var address = "\(environment.endpoint)/\(repository.api)/tree/\(commit)?recursive=true&expand=false"
        var files: [HubFile] = []
        var seen: Set<String> = []
        while seen.insert(address).inserted {
            let (response, json) = try send(address, about: repository)
            let location = WebURL.shown(address)
            guard let entries = json.array else {
                throw BridgeError(
                    .network,
                    "the response of \(location) is \(json.kind), expected a list of files; check HF_ENDPOINT"
                )
            }
            files += try entries.compactMap { try HubFile(response: $0, of: location) }
            guard files.count <= Self.mostFiles, seen.count <= Self.mostPages else {
                throw BridgeError(
                    .network,
                    "\(location) lists more files than a repository can have; check HF_ENDPOINT"
                )
            }
            guard let next = Self.nextPage(response["link"] ?? "") else { break }
            address = try WebURL.resolve(next, against: address)
        }
        return HubListing(commit: commit, files: try Self.distinct(files, in: repository))
    }

    /// More files and pages than any repository has.
    private static let mostFiles = 1 << 20
    private static let mostPages = 10_000

    /// The files without duplicates.
    ///
    /// - Throws: `BridgeError` when one path has two contents.
    static func distinct(_ files: [HubFile], in repository: HubRepository) throws -> [HubFile] {
        var known: [[UInt8]: HubFile] = [:]
        return try files.filter { file in
            guard let other = known.updateValue(file, forKey: Array(file.path.utf8)) else { return true }
            guard other == file else {
                throw BridgeError(
                    .network,
                    "the hub lists '\(file.path)' of \(repository) twice, with the contents '\(other.blobName)' and "
                        + "'\(file.blobName)'; check HF_ENDPOINT"
                )
            }
            return false
        }
    }

    /// The address of `rel="next"` in a `Link` header.
    private static func nextPage(_ header: String) -> String? {
        for part in header.split(separator: ",") where part.contains("rel=\"next\"") {
            guard let start = part.firstIndex(of: "<"), let end = part.firstIndex(of: ">"), start < end else {
                continue
            }
            return String(part[part.index(after: start)..<end])
        }
        return nil
    }

    /// The response to a request, as JSON; retried on transient failures.
    func send(_ address: String, about repository: HubRepository) throws -> (HTTPResponse, JSON) {
        try send(HTTPRequest(address: address), about: repository)
    }

    /// The response to a request.
    ///
    /// - Parameters:
    ///   - request: The request, without a token.
    ///   - repository: Its repository, for messages.
    ///   - isRepeatable: Whether transient failures are retried.
    ///   - isJSON: Whether the response's body is parsed.
    ///   - accepted: Statuses besides 2xx that are not errors.
    /// - Returns: The response's head and its body, null if it is not parsed.
    /// - Throws: `HTTPFailure`, `BridgeError`.
    func send(
        _ request: HTTPRequest,
        about repository: HubRepository,
        isRepeatable: Bool = true,
        isJSON: Bool = true,
        accepting accepted: Set<Int> = []
    ) throws -> (HTTPResponse, JSON) {
        var bytes: [UInt8] = []
        var retryPolicy = retryPolicy
        if !isRepeatable { retryPolicy.attempts = 1 }
        let response = try retryPolicy.withRetries(isCancelled: isCancelled) {
            bytes = []
            return try self.exchange(request, about: repository) { _, piece in
                guard bytes.count + piece.count <= Self.mostBytes else {
                    throw BridgeError(
                        .network,
                        "the response of \(WebURL.shown(request.address)) is too long; check HF_ENDPOINT"
                    )
                }
                bytes += piece
                return true
            }
        }
        if accepted.contains(response.status) { return (response, .null) }
        guard (200..<300).contains(response.status) else {
            throw HubErrorResponse(response: response, repository: repository, environment: environment).error
        }
        guard isJSON, !bytes.isEmpty else { return (response, .null) }
        do throws(JSONError) { return (response, try JSON(parsing: bytes)) } catch {
            throw BridgeError(
                .network,
                "the response of \(WebURL.shown(request.address)) is not JSON (\(error)), so it is not a hub; "
                    + "check HF_ENDPOINT and the proxy"
            )
        }
    }

    /// One request with its redirects.
    ///
    /// The token is sent to the hub only, not to the targets of redirects.
    ///
    /// - Parameters:
    ///   - request: The request, without a token.
    ///   - repository: Its repository, for messages.
    ///   - moved: Receives the final address after redirects.
    ///   - whileWaiting: Called several times a second.
    ///   - take: Receives the body of the last response.
    /// - Returns: The last response, whatever its status.
    /// - Throws: `HTTPFailure`, `BridgeError`, and what `whileWaiting` and `take` throw.
    func exchange(
        _ request: HTTPRequest,
        about repository: HubRepository,
        moved: (String) -> Void = { _ in },
        whileWaiting: @escaping () throws -> Void = {},
        take: @escaping (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> HTTPResponse {
        guard !environment.isOffline else {
            throw BridgeError(
                .network,
                "\(repository) has to be downloaded, and HF_HUB_OFFLINE forbids requests to the hub; unset it, or download the repository where there is a network"
            )
        }
        return try follow(request, moved: moved, whileWaiting: whileWaiting, take: take)
    }

    /// One request with its redirects, also while requests are forbidden.
    ///
    /// - Throws: As ``exchange(_:about:moved:whileWaiting:take:)``.
    func follow(
        _ request: HTTPRequest,
        moved: (String) -> Void = { _ in },
        whileWaiting: @escaping () throws -> Void = {},
        take: @escaping (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> HTTPResponse {
        var request = request
        request.headers += [("User-Agent", "bridge"), ("Accept-Encoding", "identity")]
        return try connection.follow(
            request,
            addHeaders: { [environment] address in
                guard let secret = environment.authorization,
                    try WebURL.haveOneOrigin(address, environment.endpoint)
                else { return [] }
                return [("Authorization", secret)]
            },
            moved: moved,
            isCancelled: { [self] in
                try whileWaiting()
                return isCancelled()
            },
            take: take
        )
    }
}
