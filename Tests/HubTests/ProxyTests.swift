import Foundation
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub

/// What lies between a program and the hub.
@Suite struct ProxyTests {
    private let server: HubServer

    init() throws {
        server = try HubServer()
        try server.put("config.json", "{}")
        try server.put("model.safetensors", HubServer.bytes(2000))
    }

    private func fetch(_ variables: [String: String]) throws {
        _ = try server.hub(variables).directory(of: "org/name", for: .everything)
    }

    @Test func itSeesEveryRequest() async throws {
        let proxy = try ProxyServer()
        try fetch(["HTTP_PROXY": proxy.address, "NO_PROXY": ""])
        let asked = try await server.log().map { "\($0.method) http://\($0.host)\($0.path)" }
        #expect(try proxy.requests().sorted() == asked.sorted() && asked.count >= 5)
    }

    @Test func oneForEverythingIsTaken() throws {
        let proxy = try ProxyServer()
        try fetch(["ALL_PROXY": proxy.address, "NO_PROXY": ""])
        #expect(try !proxy.requests().isEmpty)
    }

    @Test func aHostThatIsNamedPassesItBy() throws {
        let proxy = try ProxyServer()
        try fetch(["HTTP_PROXY": proxy.address, "NO_PROXY": "localhost"])
        let requests = try proxy.requests()
        #expect(!requests.isEmpty && requests.allSatisfy { $0.contains(server.endpoint) }, "\(requests)")
    }

    @Test func allHostsMayPassItBy() throws {
        let proxy = try ProxyServer()
        try fetch(["HTTP_PROXY": proxy.address])
        #expect(try proxy.requests().isEmpty)
    }

    @Test func aProxyThatRequiresAuthenticationIsTheReason() throws {
        let proxy = try ProxyServer(refusingWith: 407)
        let text = #expect(throws: BridgeError.self) {
            try fetch(["HTTP_PROXY": proxy.address, "NO_PROXY": ""])
        }?.message
        #expect(text?.contains("the proxy requires a name and a password") == true, "\(text ?? "")")
        #expect(text?.contains("HTTP_PROXY") == true)
    }

    @Test func oneThatRefusesIsNamedBesideTheHub() throws {
        let proxy = try ProxyServer(refusingWith: 403)
        let text = #expect(throws: BridgeError.self) {
            try fetch(["HTTP_PROXY": proxy.address, "NO_PROXY": ""])
        }?.message
        #expect(text?.contains("the proxy \(proxy.address)") == true, "\(text ?? "")")
    }
}
