import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Diagnosis

/// Whether the hub can be used, with one request and within a time.
@Suite struct AccessTests {
    private let server: HubServer

    init() throws { server = try HubServer() }

    private func check(_ variables: [String: String] = [:], seconds: Double = 30) -> Finding {
        HubCheck(hub: server.hub(["HF_TOKEN": ""].merging(variables) { $1 }), seconds: seconds).run()
    }

    @Test func aResponseOfAnyKindIsAccess() async throws {
        let finding = check()
        #expect(finding.status == .ok && finding.text.hasPrefix("\(server.endpoint) responds after "))
        #expect(finding.text.hasSuffix("; no token"))
        let request = try #require(try await server.log().first)
        #expect(request.method == "HEAD" && request.path == "/" && request.authorization.isEmpty)
        try await server.fail(["match": "HEAD /", "times": 1, "status": 503])
        #expect(check().status == .warning)
    }

    @Test func theTokenIsSentAndNeverShown() async throws {
        try await server.fail(["match": "whoami", "times": 1, "status": 200])
        let good = check(["HF_TOKEN": HubServer.token])
        #expect(good.status == .ok && good.text.hasSuffix("; a token"))
        try await server.fail(["match": "whoami", "times": 1, "status": 401])
        let refused = check(["HF_TOKEN": "hf_wrong"])
        #expect(refused.status == .warning && refused.sentence.contains("a token, which is refused; log in again"))
        #expect(try await server.log().map(\.authorization) == ["Bearer hf_test", "Bearer hf_wrong"])
        for finding in [good, refused] { #expect(!"\(finding)".contains("hf_"), "\(finding)") }
    }

    @Test func withoutAResponseTheLineHasWhatToCheck() async throws {
        try await server.fail(["match": "HEAD /", "times": 1, "hold": true])
        let late = check(seconds: 0.3)
        #expect(late.status == .warning && late.text.contains("no response within 0.3 s"), "\(late.sentence)")
        try await server.fail()
        let none = check(["HF_ENDPOINT": "http://127.0.0.1:1"])
        #expect(none.status == .warning && none.sentence.contains("check the network"), "\(none.sentence)")
        let wrong = check(["HF_ENDPOINT": "nonsense"])
        #expect(wrong.sentence.contains("HF_ENDPOINT is 'nonsense'"), "\(wrong.sentence)")
    }

    @Test func nothingIsRequestedWhereThatIsForbidden() async throws {
        let finding = check(["HF_HUB_OFFLINE": "1"])
        #expect(finding == Finding(.ok, "HF_HUB_OFFLINE forbids requests; no token", facts: finding.facts))
        #expect(try await server.log().isEmpty)
    }
}
