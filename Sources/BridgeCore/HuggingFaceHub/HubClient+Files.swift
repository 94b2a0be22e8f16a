import BridgeSupport
import CheckpointFormats
import Network

extension HubClient {
    /// The address of the content of a file.
    func address(of file: HubFile, _ commit: String, in repository: HubRepository) -> String {
        "\(environment.endpoint)/\(repository.page)/resolve/\(commit)/" + WebURL.escaped(file.path, keeping: "/")
    }

    /// Some bytes of a file, given to the caller only.
    ///
    /// A server that ignores ranges is stopped at the end of the range.
    ///
    /// - Throws: `HTTPFailure`, and `BridgeError` with code `network`.
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
                    reason: "\(bytes.count) of \(range.count) bytes of \(file.path) received"
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
    /// Checks that a partial response is the requested range.
    ///
    /// - Throws: `BridgeError` when it is another range, or a range of another file.
    func check(startsAt offset: Int, of file: HubFile) throws {
        guard let found = contentRange, found.range.lowerBound == offset, found.size ?? file.byteCount == file.byteCount
        else {
            let text = self["content-range"] ?? ""
            throw Self.wrong(file, "has the range '\(text)', expected a range from byte \(offset)")
        }
    }

    /// The error when a server sends another file than the hub lists.
    static func wrong(_ file: HubFile, _ what: String) -> BridgeError {
        BridgeError(
            .network,
            "\(file.path) \(what), and the hub lists \(file.byteCount) bytes; a proxy or mirror changes it: check "
                + "HF_ENDPOINT and the proxy"
        )
    }
}
