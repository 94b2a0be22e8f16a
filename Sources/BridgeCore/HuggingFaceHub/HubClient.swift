import BridgeSupport
import CheckpointFormats
import Glibc
import JSONTree
import Network
import Tokenizers

/// Asks the hub about repositories.
final class HubClient {
    let environment: HubEnvironment
    let retryPolicy: RetryPolicy
    let isCancelled: () -> Bool
    private let connection: HTTPConnection

    /// The most bytes of an response that is no file.
    private static let mostBytes = 256 << 20

    /// A client for one thread.
    ///
    /// - Throws: `BridgeError` when the library that speaks HTTP is not there.
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

    /// The commit that a revision is at now.
    ///
    /// - Throws: `BridgeError` with code `network` that says what to do.
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
                "\(address) responses without the commit of \(repository), so it is no hub; check HF_ENDPOINT and the proxy"
            )
        }
        return commit
    }

    /// Whether there is a repository of the same name and of the other kind.
    private func hasTwin(_ repository: HubRepository) -> Bool {
        let otherType = repository.otherType
        let request = HTTPRequest(address: "\(environment.endpoint)/\(otherType.api)")
        return (try? send(request, about: otherType, isRepeatable: false, isJSON: false)) != nil
    }

    /// The files of a commit.
    ///
    /// - Throws: `BridgeError` with code `network` that says what to do.
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
                    "\(location) responses with \(json.kind) where a list of files is expected; check HF_ENDPOINT"
                )
            }
            files += try entries.compactMap { try HubFile(response: $0, of: location) }
            guard files.count <= Self.mostFiles, seen.count <= Self.mostPages else {
                throw BridgeError(.network, "\(location) lists files without an end; check HF_ENDPOINT")
            }
            guard let next = Self.nextPage(response["link"] ?? "") else { break }
            address = try WebURL.resolve(next, against: address)
        }
        return HubListing(commit: commit, files: try Self.distinct(files, in: repository))
    }

    /// More files and pages of them than any repository has.
    private static let mostFiles = 1 << 20
    private static let mostPages = 10_000

    /// The files without those that are listed again.
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

    /// The address behind `rel="next"` in a `Link` header.
    private static func nextPage(_ header: String) -> String? {
        for part in header.split(separator: ",") where part.contains("rel=\"next\"") {
            guard let start = part.firstIndex(of: "<"), let end = part.firstIndex(of: ">"), start < end else {
                continue
            }
            return String(part[part.index(after: start)..<end])
        }
        return nil
    }

    /// What the hub responses to a question, as JSON; asked again when it is busy or the line is bad.
    func send(_ address: String, about repository: HubRepository) throws -> (HTTPResponse, JSON) {
        try send(HTTPRequest(address: address), about: repository)
    }

    /// What the hub responses to a request.
    ///
    /// - Parameters:
    ///   - request: The request, without a token.
    ///   - repository: What it is about, for messages.
    ///   - isRepeatable: Whether it is made again when the hub is busy or the line is bad.
    ///   - isJSON: Whether the response's body is looked at.
    ///   - accepted: Statuses besides 2xx that are no errorResponse.
    /// - Returns: The response's head and its body, null where it is not looked at.
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
                        "\(WebURL.shown(request.address)) responses without an end; check HF_ENDPOINT"
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
                "\(WebURL.shown(request.address)) responses with something that is no JSON (\(error)), so it is no hub; "
                    + "check HF_ENDPOINT and the proxy"
            )
        }
    }

    /// One request with its redirects.
    ///
    /// The token goes to the hub itself and to nobody that the hub points to.
    ///
    /// - Parameters:
    ///   - request: The request, without a token.
    ///   - repository: What it is about, for messages.
    ///   - moved: Told the last address, when redirects led to it.
    ///   - whileWaiting: Called some times a second.
    ///   - take: Takes the last response's body.
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
                "\(repository) needs the hub, and HF_HUB_OFFLINE says not to ask it; unset it, or download it where there is a network"
            )
        }
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
