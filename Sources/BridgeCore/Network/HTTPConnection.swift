import BridgeSupport
import CFetch
import Glibc

/// Speaks HTTP with one server after the other and keeps connections open between requests; for one thread at a time.
package final class HTTPConnection {
    private let library: FetchLibrary
    private let connections: UnsafeMutableRawPointer
    private let settings: HTTPSettings
    private let clock: (() -> Double)?

    /// A connection.
    ///
    /// - Parameters:
    ///   - settings: The settings.
    ///   - clock: The seconds since any start, for the time without a byte; nil for the system's clock.
    /// - Throws: `BridgeError` when the library that speaks HTTP is not there.
    package init(_ settings: HTTPSettings, clock: (() -> Double)? = nil) throws {
        library = try FetchLibrary.shared()
        guard let opened = library.functions.open() else {
            throw BridgeError(.fileSystem, "there is no memory for a connection")
        }
        connections = opened
        self.settings = settings
        self.clock = clock
    }

    deinit { library.functions.close(connections) }

    /// The state of the callbacks.
    private final class Exchange {
        var response = HTTPResponse()
        var error: (any Error)?
        var sent = 0
        let body: HTTPRequest.Body?
        let isCancelled: () throws -> Bool
        let take: (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
        let clock: (() -> Double)?

        init(
            _ body: HTTPRequest.Body?,
            _ clock: (() -> Double)?,
            _ isCancelled: @escaping () throws -> Bool,
            _ take: @escaping (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
        ) {
            self.body = body
            self.clock = clock
            self.isCancelled = isCancelled
            self.take = take
        }

        static func at(_ context: UnsafeMutableRawPointer?) -> Exchange? {
            context.map { Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue() }
        }

        /// The next bytes of the request's body; a file that cannot be read gives too few, which ends the request.
        func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
            guard let body else { return 0 }
            let count = min(buffer.count, body.count - sent)
            switch body {
            case .bytes(let bytes): bytes[sent..<sent + count].withUnsafeBytes { buffer.copyMemory(from: $0) }
            case .file(let file, let range):
                let start = range.lowerBound + sent
                do {
                    try file.bytes(start..<start + count).withUnsafeBytes { buffer.copyMemory(from: $0) }
                } catch {
                    self.error = error
                    return 0
                }
            }
            sent += count
            return count
        }
    }

    /// Sends a request.
    ///
    /// All closures are called by the thread that calls this. Redirects are responses like others.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - isCancelled: Called several times a second; true ends it.
    ///   - take: Takes the body in parts; false ends the request, which then has succeeded.
    /// - Returns: The response's head, whatever its status.
    /// - Throws: `HTTPFailure`, what `isCancelled` and `take` throw, and `BridgeError` with code `cancelled`.
    func perform(
        _ request: HTTPRequest,
        isCancelled: @escaping () throws -> Bool = { false },
        take: @escaping (HTTPResponse, UnsafeRawBufferPointer) throws -> Bool
    ) throws -> HTTPResponse {
        let exchange = Exchange(request.body, clock, isCancelled, take)
        let texts =
            [request.method, request.address] + request.headers.map { "\($0.name): \($0.value)" }
            + [
                settings.proxy(for: request.address), settings.noProxy, settings.certificates,
                settings.certificateDirectory,
            ]
            .map { $0 ?? "" }
        guard !texts.contains(where: { $0.utf8.contains { $0 < 32 || $0 == 127 } }) else {
            throw HTTPFailure(kind: .invalidURL, reason: "it has characters that no request may have")
        }
        let strings = texts.map { strdup($0) }
        defer { for string in strings { free(string) } }
        let headers = strings[2..<2 + request.headers.count].map { $0.map { UnsafePointer($0) } }
        /// An optional text after the headers; nil when it is empty.
        func optional(_ index: Int) -> UnsafePointer<CChar>? {
            let index = 2 + request.headers.count + index
            return texts[index].isEmpty ? nil : strings[index].map { UnsafePointer($0) }
        }
        var outcome = bridge_fetch_outcome()
        withExtendedLifetime(exchange) {
            headers.withUnsafeBufferPointer { headers in
                var raw = bridge_fetch_request()
                raw.method = strings[0].map { UnsafePointer($0) }
                raw.address = strings[1].map { UnsafePointer($0) }
                raw.headers = headers.baseAddress
                raw.header_count = headers.count
                raw.proxy = optional(0)
                raw.no_proxy = optional(1)
                raw.certificates = optional(2)
                raw.certificate_directory = optional(3)
                raw.connect_seconds = settings.connectSeconds
                raw.idle_seconds = settings.idleSeconds
                raw.least_rate = Int64(settings.leastBytesPerSecond)
                raw.least_rate_seconds = max(settings.leastRateSeconds, settings.idleSeconds)
                raw.body_count = Int64(request.body?.count ?? -1)
                raw.context = Unmanaged.passUnretained(exchange).toOpaque()
                raw.is_cancelled = { context in
                    guard let exchange = Exchange.at(context) else { return 1 }
                    do { return try exchange.isCancelled() ? 1 : 0 } catch {
                        exchange.error = error
                        return 1
                    }
                }
                raw.head = { context, line, count in
                    guard let line else { return 0 }
                    let bytes = UnsafeRawBufferPointer(start: line, count: count)
                    Exchange.at(context)?.response.take(String(decoding: bytes, as: UTF8.self))
                    return 0
                }
                raw.take = { context, bytes, count in
                    guard let exchange = Exchange.at(context) else { return 1 }
                    do {
                        let piece = UnsafeRawBufferPointer(start: bytes, count: count)
                        return try exchange.take(exchange.response, piece) ? 0 : 1
                    } catch {
                        exchange.error = error
                        return 1
                    }
                }
                raw.give = { context, bytes, most in
                    Exchange.at(context)?.give(UnsafeMutableRawBufferPointer(start: bytes, count: most)) ?? 0
                }
                if clock != nil { raw.clock = { context in Exchange.at(context)?.clock?() ?? 0 } }
                library.functions.perform(connections, &raw, &outcome)
            }
        }
        if let error = exchange.error { throw error }
        if try isCancelled() { throw BridgeError(.cancelled, "interrupted") }
        let reason = withUnsafeBytes(of: outcome.reason) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        guard let kind = Self.kind(outcome.failure) else { return exchange.response }
        // Within a sentence it starts small, but for abbreviations and names.
        let isWord = reason.prefix { $0 != " " }.dropFirst().allSatisfy { $0.isLowercase }
        throw HTTPFailure(kind: kind, reason: isWord ? reason.prefix(1).lowercased() + reason.dropFirst() : reason)
    }

    /// The kind of a failure; nil for none, and where the receiver has ended the request.
    private static func kind(_ failure: Int32) -> HTTPFailure.Kind? {
        switch Int(failure) {
        case Int(BRIDGE_FETCH_DONE), Int(BRIDGE_FETCH_STOPPED): nil
        case Int(BRIDGE_FETCH_BAD_ADDRESS): .invalidURL
        case Int(BRIDGE_FETCH_UNREACHABLE): .unreachable
        case Int(BRIDGE_FETCH_PROXY): .proxy
        case Int(BRIDGE_FETCH_CERTIFICATE): .certificate
        case Int(BRIDGE_FETCH_TIMEOUT): .timeout
        case Int(BRIDGE_FETCH_CUT): .cut
        default: .other
        }
    }
}
