extension HTTPConnection {
    /// The most addresses that lead on to another.
    private static let mostRedirects = 20

    /// Sends a request and follows its redirects; an encrypted request stays encrypted.
    ///
    /// Redirects are not followed by libcurl: each address has the proxy of its scheme, and the hub's redirect
    /// responses have headers that the storage's responses do not have.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - addHeaders: Gives headers for one address, which go to no other.
    ///   - moved: Called with each address that a redirect led to.
    ///   - isCancelled: Called several times a second; true ends it.
    ///   - take: Takes the body of the last response in parts; false ends the request, which then has succeeded.
    /// - Returns: The last response's head, whatever its status.
    /// - Throws: `HTTPFailure` with the address that it is about, what the closures throw, and `BridgeError` with code
    ///   `cancelled`.
    package func follow(
        _ request: HTTPRequest,
        addHeaders: (String) throws -> [(name: String, value: String)] = { _ in [] },
        moved: (String) -> Void = { _ in },
        isCancelled: @escaping () throws -> Bool = { false },
        take: @escaping (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> HTTPResponse {
        var next = request
        for _ in 0...Self.mostRedirects {
            let address = next.address
            next.headers = request.headers + (try addHeaders(address))
            do {
                let response = try perform(next, isCancelled: isCancelled) { response, piece in
                    response.isRedirect ? true : try take(response, piece)
                }
                guard let target = try response.redirect(from: address) else { return response }
                guard !(Self.isEncrypted(address) && target.lowercased().hasPrefix("http:")) else {
                    throw HTTPFailure(kind: .unencryptedRedirect, reason: WebURL.shown(target))
                }
                next.address = target
                moved(target)
            } catch var failure as HTTPFailure {
                failure.address = address
                throw failure
            }
        }
        throw HTTPFailure(kind: .endlessRedirects, reason: WebURL.shown(next.address), address: next.address)
    }

    private static func isEncrypted(_ address: String) -> Bool { address.lowercased().hasPrefix("https:") }
}
