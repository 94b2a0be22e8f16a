import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import Network

/// A connection without bytes ends a request; a slow disk on this side does not.
///
/// The least rate is measured by libcurl, with a clock of its own.
@Suite struct IdleTests {
    private let server: HubServer
    private let content = HubServer.bytes(3_000_000)

    init() throws {
        server = try HubServer()
        try server.put("data.bin", content)
    }

    /// Downloads the file with a limit of one second without a byte.
    ///
    /// - Parameters:
    ///   - clock: The clock of that second.
    ///   - take: Called with each part of the content.
    /// - Returns: The number of bytes.
    /// - Throws: `HTTPFailure`.
    private func download(clock: @escaping () -> Double, take: @escaping () -> Void = {}) throws -> Int {
        var settings = HTTPSettings()
        settings.idleSeconds = 1
        let connection = try HTTPConnection(settings, clock: clock)
        var count = 0
        let request = HTTPRequest(address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        _ = try connection.follow(request) { response, piece in
            guard !response.isRedirect else { return true }
            take()
            count += piece.count
            return true
        }
        return count
    }

    @Test func aSlowReaderIsNotASilentConnection() throws {
        let now = Monitor(0.0)
        let count = try download(clock: { now.value }, take: { now.update { $0 += 5 } })
        #expect(count == content.count && now.value >= 5)
    }

    /// Every look at the clock is a tenth of a second after the one before.
    @Test func aSilentConnectionIsATimeout() async throws {
        try await server.fail(["match": "GET .*data.bin", "times": 9, "stall": 100_000])
        let now = Monitor(0.0)
        let failure = #expect(throws: HTTPFailure.self) {
            try download(clock: {
                now.update {
                    $0 += 0.1
                    return $0
                }
            })
        }
        #expect(
            failure?.kind == .timeout && failure?.reason.contains("not a byte") == true,
            "\(String(describing: failure))"
        )
        try await server.fail()
    }

    /// Some bytes are received; 3 MB would take a day or a month.
    @Test(arguments: [50, 1]) func aConnectionBelowTheLeastRateIsATimeout(_ rate: Int) async throws {
        try await server.fail(["match": "GET /models/", "times": 9, "drip": .number(JSONNumber(rate))])
        var settings = HTTPSettings()
        (settings.idleSeconds, settings.leastRateSeconds) = (2.5, 3)
        let request = HTTPRequest(address: "\(server.endpoint)/org/name/resolve/main/data.bin")
        let connection = try HTTPConnection(settings)
        let failure = #expect(throws: HTTPFailure.self) { _ = try connection.follow(request) { _, _ in true } }
        #expect(failure?.kind == .timeout, "\(String(describing: failure))")
        try await server.fail()
    }

    /// Each attempt resumes where the last one ended, and fewer bytes than the least rate are not progress.
    @Test(arguments: [["drip": 1], ["cut": 1]] as [JSON])
    func aDownloadBelowTheLeastRateFails(_ fault: JSON) async throws {
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
        let error = #expect(throws: BridgeError.self) { _ = try hub.directory(of: "org/name", for: .everything) }
        #expect(error?.code == .network, "\(error?.message ?? "")")
        // The first attempt has no pause before it, and a byte at once is not slow.
        let count = try await server.log().count { $0.path.hasPrefix("/models/") }
        #expect((attempts...attempts + 1).contains(count), "\(count)")
        // What came stays, and a line that is as it should be brings the rest.
        try await server.fail()
        let directory = try hub.directory(of: "org/name", for: .everything)
        #expect(try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/data.bin"))) == content)
    }

    /// Something that accepts connections and never responds is most likely not the hub: it is retried once.
    @Test func aHubThatNeverRespondsIsRetriedOnce() async throws {
        try await server.fail(["match": "GET /api/", "times": 99, "hold": true])
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
}
