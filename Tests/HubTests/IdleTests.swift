import Foundation
import JSONTree
import Testing

@testable import BridgeCore
@testable import Network

/// Silence on the line ends a request; a slow disk on this side does not.
@Suite struct IdleTests {
    private let server: HubServer
    private let content = HubServer.bytes(3_000_000)

    init() throws {
        server = try HubServer()
        try server.put("data.bin", content)
    }

    /// Fetches the file with little patience and takes each piece with a pause at the first.
    private func fetch(pause: TimeInterval) throws -> Int {
        var settings = HTTPSettings()
        settings.idleSeconds = 1
        let connection = try HTTPConnection(settings)
        var (count, hasPaused) = (0, false)
        var request = HTTPRequest(method: "GET", address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        for _ in 0..<3 {
            let address = request.address
            let answer = try connection.perform(request) { answer, piece in
                guard !answer.isRedirect else { return true }
                if !hasPaused { Thread.sleep(forTimeInterval: pause) }
                hasPaused = true
                count += piece.count
                return true
            }
            guard let next = try answer.redirect(from: address) else { break }
            request.address = next
        }
        return count
    }

    @Test func aSlowReaderIsNotTakenForASlowLine() throws {
        #expect(try fetch(pause: 2.5) == content.count)
    }

    @Test func aLineThatGivesAByteNowAndThenIsGivenUp() async throws {
        // 40 bytes a second are no silence, and would take a day for 3 MB.
        try await server.fail(["match": "GET /models/", "times": 9, "drip": 50])
        var settings = HTTPSettings()
        (settings.idleSeconds, settings.leastRateSeconds) = (1, 2)
        let request = HTTPRequest(address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        let connection = try HTTPConnection(settings)
        let start = ContinuousClock.now
        let failure = #expect(throws: HTTPFailure.self) { _ = try connection.follow(request) { _, _ in true } }
        #expect(failure?.kind == .timeout, "\(String(describing: failure))")
        #expect(ContinuousClock.now - start < .seconds(15))
        try await server.fail()
    }

    @Test func aSilentLineIsGivenUp() async throws {
        try await server.fail(["match": "GET .*data.bin", "times": 9, "stall": 100_000])
        let start = ContinuousClock.now
        let failure = #expect(throws: HTTPFailure.self) { try fetch(pause: 0) }
        #expect(
            failure?.kind == .timeout && failure?.reason.contains("not a byte") == true,
            "\(String(describing: failure))"
        )
        #expect(ContinuousClock.now - start < .seconds(10))
        try await server.fail()
    }
}
