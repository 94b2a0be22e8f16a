import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub
@testable import Network

/// The token goes to the hub and to nobody else, and is shown to nobody.
@Suite struct SecretTests {
    private let server: HubServer

    init() throws {
        server = try HubServer()
        try server.put("model.safetensors", HubServer.bytes(3000))
        try server.put("config.json", "{}")
        try server.put(".repo.json", "{\"private\": true}")
    }

    @Test func theStorageNeverSeesIt() async throws {
        _ = try server.hub(["HF_TOKEN": HubServer.token]).directory(of: "org/name", for: .everything)
        let log = try await server.log()
        let (own, others) = (
            log.filter { $0.path.contains("org/name") && !$0.path.hasPrefix("/models/") },
            log.filter { $0.path.hasPrefix("/models/") }
        )
        #expect(own.count >= 4 && own.allSatisfy { $0.authorization == "Bearer \(HubServer.token)" })
        #expect(!others.isEmpty && others.allSatisfy { $0.authorization.isEmpty && $0.host.hasPrefix("localhost:") })
    }

    @Test func aRedirectOfAQuestionDoesNotTakeItAlong() async throws {
        try await server.fail(["match": "revision", "times": 1, "location": .string("\(server.storage)/elsewhere")])
        _ = try? server.hub(["HF_TOKEN": HubServer.token]).snapshot(of: try #require(HubRepository("org/name")))
        let moved = try #require(try await server.log().first { $0.path == "/elsewhere" })
        #expect(moved.authorization.isEmpty)
    }

    @Test(arguments: [
        ("http://host/a", "http://HOST:80/b?c", true), ("https://host", "https://host:443/", true),
        ("http://host", "https://host", false), ("http://host:81", "http://host", false),
        ("http://host", "http://host@other/", false), ("http://host", "http://user:secret@host/", true),
        ("http://host", "http://host.other/", false), ("http://host", "http://other/?http://host/", false),
        ("http://host", "nothing/", false), ("http://host", "", false),
    ]) func itGoesToOneSchemeHostAndPort(_ one: String, _ other: String, _ expected: Bool) throws {
        #expect(try WebURL.haveOneOrigin(one, other) == expected)
    }

    @Test func itIsNeverPrinted() async throws {
        let secret = "hf_secretsecret"
        let environment = server.hub(["HF_TOKEN": secret]).environment
        #expect(!"\(environment)".contains(secret))
        var dumped = ""
        dump(environment, to: &dumped)
        #expect(!dumped.contains(secret))
        do {
            _ = try server.hub(["HF_TOKEN": secret]).directory(of: "org/name", for: .everything)
            Issue.record("a wrong token was accepted")
        } catch {
            #expect("\(error)".contains("does not accept the token"))
            #expect(!"\(error)".contains(secret))
        }
    }

    @Test func aSignedAddressIsNotShown() async throws {
        try await server.fail(["match": "GET /models/", "times": 100, "status": 404])
        do {
            _ = try server.hub(["HF_TOKEN": HubServer.token]).directory(of: "org/name", for: .everything)
            Issue.record("nothing was wrong")
        } catch {
            #expect(!"\(error)".contains("signature"))
        }
    }

    @Test func aNameAndAPasswordInTheAddressAreSentAndNotShown() async throws {
        let address = server.endpoint.replacing("http://", with: "http://user:se%40cret@")
        let environment = server.hub(["HF_ENDPOINT": address]).environment
        #expect(environment.endpoint == server.endpoint)
        var dumped = "\(environment)"
        dump(environment, to: &dumped)
        let error = #expect(throws: BridgeError.self) {
            try server.hub(["HF_ENDPOINT": address]).directory(of: "org/none", for: .everything)
        }
        let text = dumped + "\(error.map { "\($0)" } ?? "")"
        #expect(!text.contains("cret") && !text.contains("user"), "\(text)")
        // printf 'user:se@cret' | base64
        #expect(try await server.log().first?.authorization == "Basic dXNlcjpzZUBjcmV0")
    }

    @Test(arguments: ["ftp://user:secret@host", "https://", "user:secret@host", "http://:80", "not an address"])
    func anAddressOfNoServerIsRefusedAtOnce(_ address: String) throws {
        let error = #expect(throws: BridgeError.self) {
            try server.hub(["HF_ENDPOINT": address]).directory(of: "org/name", for: .everything)
        }
        #expect(error?.message.contains("expected http:// or https:// and the name of a host") == true)
        #expect(error?.message.contains("secret") == false)
    }

    @Test(arguments: ["hf_a b", "hf_a\nhf_b", "hf_ä"]) func aTokenThatCanBeNoneIsASentence(_ token: String) async throws
    {
        let error = #expect(throws: BridgeError.self) {
            try server.hub(["HF_TOKEN": token]).directory(of: "org/name", for: .everything)
        }
        #expect(error?.message.contains("HF_TOKEN has characters that are not valid in a token") == true)
        #expect(error?.message.contains(token) == false)
        #expect(try await server.log().isEmpty)
    }

    @Test func aStoredTokenIsTaken() throws {
        try FileManager.default.createDirectory(atPath: server.home, withIntermediateDirectories: true)
        try "\(HubServer.token)\n".write(toFile: "\(server.home)/token", atomically: true, encoding: .utf8)
        #expect(server.hub().environment.token?.value == HubServer.token)
        _ = try server.hub().directory(of: "org/name", for: .everything)
        #expect(server.hub(["HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"]).environment.token == nil)
    }
}
