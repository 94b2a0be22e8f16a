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

    /// Fetches the file with little retryPolicy and takes each piece with a pause at the first.
    private func fetch(pause: TimeInterval) throws -> Int {
        var settings = HTTPSettings()
        settings.idleSeconds = 1
        let connection = try HTTPConnection(settings)
        var (count, hasPaused) = (0, false)
        var request = HTTPRequest(method: "GET", address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        for _ in 0..<3 {
            let address = request.address
            let response = try connection.perform(request) { response, piece in
                guard !response.isRedirect else { return true }
                if !hasPaused { Thread.sleep(forTimeInterval: pause) }
                hasPaused = true
                count += piece.count
                return true
            }
            guard let next = try response.redirect(from: address) else { break }
            request.address = next
        }
        return count
    }

    @Test func aSlowReaderIsNotTakenForASlowLine() throws {
        #expect(try fetch(pause: 2.5) == content.count)
    }

    /// Neither is silence; 3 MB would take a day or a month.
    @Test(arguments: [50, 1]) func aLineThatGivesAByteNowAndThenIsGivenUp(_ rate: Int) async throws {
        try await server.fail(["match": "GET /models/", "times": 9, "drip": .number(JSONNumber(rate))])
        var settings = HTTPSettings()
        (settings.idleSeconds, settings.leastRateSeconds) = (2.5, 3)
        let request = HTTPRequest(address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        let connection = try HTTPConnection(settings)
        let start = ContinuousClock.now
        let failure = #expect(throws: HTTPFailure.self) { _ = try connection.follow(request) { _, _ in true } }
        #expect(failure?.kind == .timeout, "\(String(describing: failure))")
        #expect(ContinuousClock.now - start < .seconds(15))
        try await server.fail()
    }

    /// Each attempt goes on where the last one ended, and what it brings is no progress when it is less than the least rate.
    @Test(arguments: [["drip": 1], ["cut": 1]] as [JSON])
    func aDownloadThatHardlyMovesIsGivenUp(_ fault: JSON) async throws {
        var fault = fault
        fault.set("GET /models/", at: "match")
        fault.set(1000, at: "times")
        try await server.fail(fault)
        var environment = HubEnvironment(variables: server.variables)
        (environment.http.idleSeconds, environment.http.leastRateSeconds) = (2.5, 3)
        let attempts = 3
        let hub = Hub(
            environment: environment,
            retryPolicy: RetryPolicy(attempts: attempts, initialBackoff: 0.05, longestPause: 0.05)
        )
        let start = ContinuousClock.now
        let error = #expect(throws: BridgeError.self) { _ = try hub.directory(of: "org/name", for: .everything) }
        #expect(error?.code == .network, "\(error?.message ?? "")")
        #expect(ContinuousClock.now - start < .seconds(30))
        // The first attempt has no pause before it, and a byte at once is not slow.
        let count = try await server.log().count { $0.path.hasPrefix("/models/") }
        #expect((attempts...attempts + 1).contains(count), "\(count)")
        // What came stays, and a line that is as it should be brings the rest.
        try await server.fail()
        let directory = try hub.directory(of: "org/name", for: .everything)
        #expect(try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/data.bin"))) == content)
    }

    /// Something that accepts connections and never responds is most likely not the hub: it is asked once more.
    @Test func aHubThatNeverRespondsIsAskedTwice() async throws {
        try await server.fail(["match": "GET /api/", "times": 99, "wait": 4])
        var environment = HubEnvironment(variables: server.variables)
        environment.requestTimeout = 1
        let hub = Hub(
            environment: environment,
            retryPolicy: RetryPolicy(attempts: 6, initialBackoff: 0.05, longestPause: 0.05)
        )
        let error = #expect(throws: BridgeError.self) { _ = try hub.directory(of: "org/name", for: .everything) }
        #expect(error?.code == .network, "\(error?.message ?? "")")
        let count = try await server.log().count { $0.path.hasPrefix("/api/") }
        #expect(count == 2)
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
