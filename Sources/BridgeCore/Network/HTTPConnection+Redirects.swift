extension HTTPConnection {
    /// The most addresses that lead on to another.
    private static let mostRedirects = 20

    /// Makes a request and follows where its responses point to; what began encrypted stays so.
    ///
    /// Not libcurl's own following: each address has the proxy of its scheme, and the hub's responses on the way say what the
    /// storage that they point to does not.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - addHeaders: Gives headers for one address, which go to no other.
    ///   - moved: Told each address that a redirect led to.
    ///   - isCancelled: Asked some times a second; true ends it.
    ///   - take: Takes the body of the last response piece by piece; false ends the request, which then has gone well.
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
