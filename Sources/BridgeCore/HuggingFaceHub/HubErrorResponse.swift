import BridgeSupport
import CheckpointFormats
import Network

/// What the hub's refusals mean, and what to do about them.
struct HubErrorResponse {
    var response: HTTPResponse
    var repository: HubRepository
    /// The file that was asked for; nil for the repository itself.
    var file: String?
    var environment: HubEnvironment

    /// Whether it says that there is no such repository.
    var isAboutName: Bool {
        let code = response["x-error-code"]
        return code == "RepoNotFound" || (response.status == 404 && code == nil)
    }

    /// The sentence where a repository of the same name holds the other thing.
    var wrongRepositoryTypeError: BridgeError {
        failure(
            repository.kind == .model
                ? "\(repository.id) is a data set and no model; name it where data are asked for, or to 'bridge hub' with "
                    + "'--type dataset', and a model here"
                : "\(repository.id) is a model and no data set; name it where a model is asked for, and a data set here"
        )
    }

    /// The sentence for the user.
    var error: BridgeError {
        let page = "\(environment.endpoint)/\(repository.page)"
        let code = response["x-error-code"] ?? ""
        let said = response["x-error-message"].map { ": \($0.prefix(300))" } ?? ""
        let who = environment.token == nil
        // Some proxies refuse in the hub's name.
        let proxy = said.isEmpty ? environment.http.proxy(for: environment.endpoint) : nil
        let way = proxy.map { "; if the proxy \(WebURL.shown($0)) says so, ask who runs it" } ?? ""
        switch (response.status, code) {
        case (_, "GatedRepo"):
            return failure(
                who
                    ? "\(repository) is for those who have accepted its terms; accept them at \(page), then log in with "
                        + "'hf auth login' or set HF_TOKEN"
                    : "\(repository) is for those who have accepted its terms, and the owner of the token is not one of them; "
                        + "accept them at \(page)"
            )
        case (_, "RevisionNotFound"):
            return failure(
                "\(repository.id) has no branch, tag or commit '\(repository.revision)'; leave '@\(repository.revision)' out, or "
                    + "choose another at \(page)/tree/main"
            )
        case (404, "EntryNotFound"):
            return failure("\(repository) has no file \(file ?? "of that name"); see \(page)")
        case (401, _) where !who && code != "RepoNotFound":
            return failure(
                "the hub does not accept the token\(said); get another at \(environment.endpoint)/settings/tokens and "
                    + "log in with 'hf auth login' or set HF_TOKEN"
            )
        case (401, _), (404, _), (_, "RepoNotFound"):
            let near = HubCache(path: environment.cache).names(near: repository)
            return BridgeError(
                .network,
                "\(environment.endpoint) has no \(repository.kind.rawValue) \(repository.id) that "
                    + (who
                        ? "everybody may see, and no directory has that name here; check the name, or log in with "
                            + "'hf auth login' where it is private"
                        : "the owner of the token may see, and no directory has that name here; check the name")
                    + (near.isEmpty ? "" : "; the cache holds these, which are like it"),
                names: near
            )
        case (403, _):
            return failure(
                "the hub does not allow this\(said); check what the token may do at \(environment.endpoint)/settings/tokens"
                    + way
            )
        case (407, _):
            return failure(
                "the proxy wants a name and a password; put them into HTTP_PROXY and HTTPS_PROXY, as "
                    + "http://name:password@host:port"
            )
        case (429, _):
            return failure(
                "the hub is busy and has said so again and again; wait some minutes, or log in, which raises its limits"
            )
        case (500..., _):
            return failure("the hub responses with status \(response.status)\(said); try again later\(way)")
        default:
            return failure(
                "the hub responses with status \(response.status)\(said) for \(file ?? repository.id); see \(page)"
            )
        }
    }

    private func failure(_ sentence: String) -> BridgeError { BridgeError(.network, sentence) }
}

extension HTTPFailure {
    /// The sentence for a user who wanted something of the hub.
    ///
    /// - Parameters:
    ///   - what: What was wanted.
    ///   - environment: Of whom.
    ///   - isHere: Whether the cache could do instead.
    /// - Returns: The sentence.
    func error(_ what: String, _ environment: HubEnvironment, isHere: Bool = false) -> BridgeError {
        let host = environment.endpoint
        let sentence =
            switch kind {
            case .invalidURL: "\(host) is no address that can be asked (\(reason)); check HF_ENDPOINT"
            case .unencryptedRedirect:
                "\(WebURL.shown(address)) leads to \(reason), which is not encrypted; check HF_ENDPOINT and the proxy"
            case .endlessRedirects:
                "\(reason) leads from one address to the next without an end; check HF_ENDPOINT"
            case .unreachable:
                (isHere ? "what is new in \(what) is not known, since \(host)" : "\(what) is not here, and \(host)")
                    + " cannot be reached (\(reason)); check the network, HF_ENDPOINT and HTTPS_PROXY"
                    + (isHere ? ", or set HF_HUB_OFFLINE=1 to use what is in the cache" : "")
            case .proxy: "the proxy does not lead to \(host) (\(reason)); check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
            case .certificate where ["wrong version number", "packet length too long"].contains { reason.contains($0) }:
                "\(host) or its storage responses without encryption where the address says https (\(reason)); check the "
                    + "address and the port in HF_ENDPOINT"
            case .certificate where environment.http.certificates.map { !Files.exists($0) } ?? false:
                "SSL_CERT_FILE names \(environment.http.certificates ?? ""), which is not there; name a file of certificates, "
                    + "or unset it for the system's"
            case .certificate:
                "the certificate that \(host) or its storage shows is not trusted (\(reason)); if your network puts its own "
                    + "in the way, name it with SSL_CERT_FILE"
            case .timeout:
                "nothing has come from \(host) for too long (\(reason)); try again, what has come is kept, or raise "
                    + "HF_HUB_DOWNLOAD_TIMEOUT"
            case .cut: "the connection to \(host) ends again and again (\(reason)); try again, what has come is kept"
            case .other: "\(what) cannot be fetched from \(host) (\(reason)); try again, what has come is kept"
            }
        return BridgeError(.network, sentence)
    }
}

extension HubCache {
    /// Repositories in the cache whose ids are like one that is not there, the most alike first.
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
