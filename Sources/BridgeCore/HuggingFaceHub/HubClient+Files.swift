import BridgeSupport
import CheckpointFormats
import Network

extension HubClient {
    /// Where the content of a file is asked for.
    func address(of file: HubFile, _ commit: String, in repository: HubRepository) -> String {
        "\(environment.endpoint)/\(repository.page)/resolve/\(commit)/" + WebURL.escaped(file.path, keeping: "/")
    }

    /// Some bytes of a file, which go nowhere but to the caller.
    ///
    /// A server that gives whole files only is stopped where they end.
    ///
    /// - Throws: `HTTPFailure`, and `BridgeError` with code `network` that says what to do.
    func bytes(
        _ range: Range<Int>,
        of file: HubFile,
        _ commit: String,
        in repository: HubRepository
    ) throws -> [UInt8] {
        guard !range.isEmpty else { return [] }
        let request = HTTPRequest(address: address(of: file, commit, in: repository), range: range)
        var bytes: [UInt8] = []
        var skipped: Int?
        let response = try retryPolicy.withRetries(isCancelled: isCancelled) {
            (bytes, skipped) = ([], nil)
            let response = try exchange(request, about: repository) { response, piece in
                guard response.status == 206 || response.status == 200 else { return false }
                if skipped == nil, response.status == 206 { try response.check(startsAt: range.lowerBound, of: file) }
                let before = skipped ?? (response.status == 206 ? range.lowerBound : 0)
                skipped = min(range.lowerBound, before + piece.count)
                bytes += piece.dropFirst(range.lowerBound - before).prefix(range.count - bytes.count)
                return bytes.count < range.count
            }
            guard !(200..<300).contains(response.status) || bytes.count == range.count else {
                throw HTTPFailure(
                    kind: .cut,
                    reason: "\(bytes.count) of \(range.count) bytes of \(file.path) have come"
                )
            }
            return response
        }
        guard (200..<300).contains(response.status) else {
            throw HubErrorResponse(
                response: response,
                repository: repository,
                file: file.path,
                environment: environment
            ).error
        }
        return bytes
    }
}

extension HTTPResponse {
    /// Makes sure that a part of a file is the one that was asked for.
    ///
    /// - Throws: `BridgeError` when it is another stretch, or one of another file.
    func check(startsAt offset: Int, of file: HubFile) throws {
        guard let found = contentRange, found.range.lowerBound == offset, found.size ?? file.byteCount == file.byteCount
        else {
            let text = self["content-range"] ?? ""
            throw Self.wrong(file, "gives the stretch '\(text)' where byte \(offset) was asked for")
        }
    }

    /// What is wrong when a server sends another file than the hub has listed.
    static func wrong(_ file: HubFile, _ what: String) -> BridgeError {
        BridgeError(
            .network,
            "\(file.path) \(what), and the hub lists \(file.byteCount) bytes; something on the way changes it: check "
                + "HF_ENDPOINT and the proxy"
        )
    }
}
