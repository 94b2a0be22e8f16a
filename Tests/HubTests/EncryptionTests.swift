import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import Network
@testable import Processing

/// A hub whose certificate nobody has signed but itself.
@Suite struct EncryptionTests {
    private let server: HubServer
    private let content: [UInt8]

    init() throws {
        server = try HubServer(isEncrypted: true)
        content = try server.put("model.safetensors", HubServer.bytes(2_000_000))
    }

    private func fetch(_ variables: [String: String]) throws -> [UInt8] {
        let directory = try server.hub(variables).directory(of: "org/name", for: .everything)
        return [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/model.safetensors")))
    }

    @Test func itIsRefused() throws {
        let error = #expect(throws: BridgeError.self) { try fetch([:]) }
        #expect(error?.code == .network)
        let text = error?.message ?? ""
        #expect(text.contains("certificate of \(server.endpoint)") && text.contains("SSL_CERT_FILE"), "\(text)")
    }

    @Test func itIsAcceptedWhereItIsNamed() throws {
        #expect(try fetch(["SSL_CERT_FILE": try #require(server.certificate)]) == content)
    }

    @Test func anotherCertificateDoesNotDo() throws {
        let other = try HubServer(isEncrypted: true)
        let text = #expect(throws: BridgeError.self) {
            try fetch(["SSL_CERT_FILE": try #require(other.certificate)])
        }?.message
        #expect(text?.contains("not trusted") == true, "\(text ?? "")")
    }

    @Test func aFileThatIsNotThereIsTheReason() throws {
        let text = #expect(throws: BridgeError.self) { try fetch(["SSL_CERT_FILE": "/none.pem"]) }?.message
        #expect(text?.contains("SSL_CERT_FILE names /none.pem, which does not exist") == true, "\(text ?? "")")
    }

    @Test func aServerThatDoesNotEncryptIsTheReason() throws {
        let plain = try HubServer()
        let text = #expect(throws: BridgeError.self) {
            try fetch(["HF_ENDPOINT": plain.endpoint.replacing("http:", with: "https:")])
        }?.message
        #expect(text?.contains("responds without encryption") == true, "\(text ?? "")")
    }

    @Test func aProxyTunnelsWhatIsEncrypted() throws {
        let proxy = try ProxyServer()
        let trusted = ["SSL_CERT_FILE": try #require(server.certificate), "HTTPS_PROXY": proxy.address]
        #expect(try fetch(trusted.merging(["NO_PROXY": ""]) { $1 }) == content)
        let requests = try proxy.requests()
        let hosts = [server.endpoint, server.storage].map { "CONNECT \($0.dropFirst("https://".count))" }
        #expect(Set(requests) == Set(hosts), "\(requests)")
    }

    @Test func aDownloadOfAnImageStaysEncrypted() async throws {
        let plain = try HubServer()
        let settings = HTTPSettings(variables: ["SSL_CERT_FILE": try #require(server.certificate)])
        func fetch() throws -> [UInt8] {
            try Download(
                url: "\(server.endpoint)/org/name/resolve/main/model.safetensors",
                mostBytes: 1 << 24,
                seconds: 20,
                settings: settings
            ).bytes(cancellation: Cancellation())
        }
        #expect(try fetch() == content)
        // Foundation does not trust the server's certificate.
        func redirect(to location: String) throws {
            let faults: JSON = [["match": "GET /org", "times": 1, "location": .string(location)]]
            var request = HTTPRequest(method: "POST", address: "\(server.endpoint)/_faults")
            request.body = .bytes(faults.text(pretty: false))
            _ = try HTTPConnection(settings).perform(request) { _, _ in true }
        }
        try redirect(to: "\(plain.endpoint)/elsewhere")
        let text = #expect(throws: BridgeError.self) { try fetch() }?.message
        #expect(text?.contains("leads to \(plain.endpoint)/elsewhere, which is not") == true, "\(text ?? "")")
        #expect(try await plain.log().isEmpty)
        // Relative places keep the scheme, whatever their queries hold.
        try redirect(to: "?next=http://elsewhere")
        #expect(try fetch() == content)
    }

    @Test(arguments: [403, 407, 502]) func aProxyThatRefusesATunnelIsTheReason(_ status: Int) throws {
        let proxy = try ProxyServer(refusingWith: status)
        let text = #expect(throws: BridgeError.self) {
            try fetch(["HTTPS_PROXY": proxy.address, "NO_PROXY": ""])
        }?.message
        #expect(text?.contains("the proxy does not connect to \(server.endpoint)") == true, "\(text ?? "")")
        #expect(text?.contains("\(status)") == true && text?.contains("HTTPS_PROXY") == true, "\(text ?? "")")
    }
}
