import BridgeSupport
import CheckpointFormats
import Network

/// Error responses of the hub: what they mean, and what the user can do.
struct HubErrorResponse {
    var response: HTTPResponse
    var repository: HubRepository
    /// The requested file; nil for the repository.
    var file: String?
    var environment: HubEnvironment

    /// Whether the response means that the repository does not exist.
    var isAboutName: Bool {
        let code = response["x-error-code"]
        return code == "RepoNotFound" || (response.status == 404 && code == nil)
    }

    /// The message when the name belongs to a repository of the other type.
    var wrongRepositoryTypeError: BridgeError {
        failure(
            repository.kind == .model
                ? "\(repository.id) is a data set and not a model; use it where a data set is expected, or with "
                    + "'--type dataset' of 'bridge hub', and give a model here"
                : "\(repository.id) is a model and not a data set; use it where a model is expected, and give a data set here"
        )
    }

    /// The message for the user.
    var error: BridgeError {
        let page = "\(environment.endpoint)/\(repository.page)"
        let code = response["x-error-code"] ?? ""
        let detail = response["x-error-message"].map { ": \($0.prefix(300))" } ?? ""
        let who = environment.token == nil
        // Some proxies send error responses in the hub's name.
        let proxy = detail.isEmpty ? environment.http.proxy(for: environment.endpoint) : nil
        let hint = proxy.map { "; if the proxy \(WebURL.shown($0)) sent this response, contact its operator" } ?? ""
        switch (response.status, code) {
        case (_, "GatedRepo"):
            return failure(
                who
                    ? "\(repository) is gated; accept its terms at \(page), then log in with "
                        + "'hf auth login' or set HF_TOKEN"
                    : "\(repository) is gated, and the owner of the token has not accepted its terms; "
                        + "accept them at \(page)"
            )
        case (_, "RevisionNotFound"):
            return failure(
                "\(repository.id) has no branch, tag or commit '\(repository.revision)'; remove '@\(repository.revision)', or "
                    + "choose another at \(page)/tree/main"
            )
        case (404, "EntryNotFound"):
            return failure("\(repository) has no file \(file ?? "of that name"); see \(page)")
        case (401, _) where !who && code != "RepoNotFound":
            return failure(
                "the hub does not accept the token\(detail); get another at \(environment.endpoint)/settings/tokens and "
                    + "log in with 'hf auth login' or set HF_TOKEN"
            )
        case (401, _), (404, _), (_, "RepoNotFound"):
            let near = HubCache(path: environment.cache).names(near: repository)
            return BridgeError(
                .network,
                "\(environment.endpoint) has no \(repository.kind.rawValue) \(repository.id) that "
                    + (who
                        ? "is public, and no directory has that name here; check the name, or log in with "
                            + "'hf auth login' where it is private"
                        : "the owner of the token can read, and no directory has that name here; check the name")
                    + (near.isEmpty ? "" : "; similar names in the cache"),
                names: near
            )
        case (403, _):
            return failure(
                "the hub refuses access\(detail); check the permissions of the token at \(environment.endpoint)/settings/tokens"
                    + hint
            )
        case (407, _):
            return failure(
                "the proxy requires a name and a password; set them in HTTP_PROXY and HTTPS_PROXY, as "
                    + "http://name:password@host:port"
            )
        case (429, _):
            return failure(
                "the hub is still busy after all retries; wait some minutes, or log in, which raises its limits"
            )
        case (500..., _):
            return failure("the hub responds with status \(response.status)\(detail); try again later\(hint)")
        default:
            return failure(
                "the hub responds with status \(response.status)\(detail) for \(file ?? repository.id); see \(page)"
            )
        }
    }

    private func failure(_ sentence: String) -> BridgeError { BridgeError(.network, sentence) }
}

extension HTTPFailure {
    /// The message for the user about an upload.
    ///
    /// - Parameters:
    ///   - what: The repository.
    ///   - environment: The hub that was requested.
    /// - Returns: The error.
    func error(uploadingTo what: String, _ environment: HubEnvironment) -> BridgeError {
        let host = environment.endpoint
        switch kind {
        case .unreachable:
            return BridgeError(
                .network,
                "\(host) cannot be reached (\(reason)), so nothing was uploaded to \(what); check the network, HF_ENDPOINT and HTTPS_PROXY"
            )
        case .timeout, .cut, .other:
            return BridgeError(.network, "the upload to \(what) was interrupted (\(host): \(reason)); try again")
        default: return error(what, environment)
        }
    }

    /// The message for the user.
    ///
    /// - Parameters:
    ///   - what: What was requested.
    ///   - environment: The hub that was requested.
    ///   - isHere: Whether the cache has a usable version.
    /// - Returns: The error.
    func error(_ what: String, _ environment: HubEnvironment, isHere: Bool = false) -> BridgeError {
        let host = environment.endpoint
        let sentence =
            switch kind {
            case .invalidURL: "\(host) is not a valid address (\(reason)); check HF_ENDPOINT"
            case .unencryptedRedirect:
                "\(WebURL.shown(address)) redirects to \(reason), which is not encrypted; check HF_ENDPOINT and the proxy"
            case .endlessRedirects:
                "\(reason) redirects too often; check HF_ENDPOINT"
            case .unreachable:
                (isHere
                    ? "changes of \(what) cannot be requested: \(host)" : "\(what) is not in the cache, and \(host)")
                    + " cannot be reached (\(reason)); check the network, HF_ENDPOINT and HTTPS_PROXY"
                    + (isHere ? ", or set HF_HUB_OFFLINE=1 to use what is in the cache" : "")
            case .proxy: "the proxy does not connect to \(host) (\(reason)); check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
            case .certificate where ["wrong version number", "packet length too long"].contains { reason.contains($0) }:
                "\(host) or its storage responds without encryption to an https:// address (\(reason)); check the "
                    + "address and the port in HF_ENDPOINT"
            case .certificate where environment.http.certificates.map { !Files.exists($0) } ?? false:
                "SSL_CERT_FILE names \(environment.http.certificates ?? ""), which does not exist; set it to a file of certificates, "
                    + "or unset it to use the system's certificates"
            case .certificate:
                "the certificate of \(host) or its storage is not trusted (\(reason)); if your network replaces certificates, "
                    + "set SSL_CERT_FILE to the network's certificate"
            case .timeout:
                "no data received from \(host) before the timeout (\(reason)); try again, downloaded bytes are kept, or raise "
                    + "HF_HUB_DOWNLOAD_TIMEOUT"
            case .cut:
                "the connection to \(host) was closed after all retries (\(reason)); try again, downloaded bytes are kept"
            case .other: "\(what) cannot be downloaded from \(host) (\(reason)); try again, downloaded bytes are kept"
            }
        return BridgeError(.network, sentence)
    }
}

extension HubCache {
    /// Repositories in the cache with ids similar to a missing one, the most similar first.
    func names(near repository: HubRepository) -> [String] {
        let prefix = "\(repository.kind.rawValue)s--"
        let ids = ((try? Files.list(path)) ?? []).filter { $0.hasPrefix(prefix) }.map {
            String($0.dropFirst(prefix.count))
                .replacing("--", with: "/", maxReplacements: 1)
        }
        let limit = max(3, repository.id.count / 4)
        return Array(NearestName.all(of: repository.id, among: ids, limit: limit).prefix(5))
    }
}
