import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub
@testable import TensorFiles

/// A plan of what is on the hub is made from headers.
@Suite struct PlanTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory
    /// 170 MB of weights behind a header of 2 kB.
    private static let weights = "GET /models/org/large/"

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
        try Models.large(at: server.root.appending(path: "models/org/large"))
        try server.put("tokenizer_config.json", "{}", in: "models/org/large")
    }

    /// The same model as a directory.
    private var local: String { server.root.appending(path: "models/org/large").path }

    /// What is in the cache.
    private func contents() throws -> [String] { TemporaryDirectory.content(of: "\(server.home)/hub") }

    private func given() async throws -> [HubServer.Request] {
        try await server.log().filter { $0.path.hasPrefix("/models/org/large/model") }
    }

    @Test func aPlanTakesTheHeadersAndLeavesTheWeights() async throws {
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            "org/large",
            "--megatron-path",
            scratch.path("out"),
            "--dry-run",
            "--json",
            environment: server.variables
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let expected = try BridgeProcess.run(
            "convert",
            "--hf-model",
            local,
            "--megatron-path",
            scratch.path("out"),
            "--dry-run",
            "--json"
        )
        let (found, wanted) = (
            try JSON(parsing: Array(outcome.output.utf8)), try JSON(parsing: Array(expected.output.utf8))
        )
        #expect(found["tensors"] == wanted["tensors"] && wanted["tensors"]?.array?.isEmpty == false)
        let given = try await given()
        #expect(given.map(\.range) == ["bytes=0-262143"] && given.map(\.sent) == [256 << 10])
        #expect(try await server.log().reduce(0) { $0 + $1.sent } < 300_000)
        #expect(try !contents().contains { $0.hasSuffix("model.safetensors") || $0.hasSuffix(".incomplete") })
        #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
    }

    @Test(arguments: [[], ["--tensors"], ["--hf-config"]]) func whatIsInspectedNeedNotCome(_ more: [String])
        async throws
    {
        let outcome = try BridgeProcess(["inspect", "org/large", "--json"] + more, environment: server.variables).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let directory = try BridgeProcess(["inspect", local, "--json"] + more).wait()
        let key = more.isEmpty ? "parameters" : more == ["--tensors"] ? "tensors" : "hidden_size"
        let (found, expected) = (
            try JSON(parsing: Array(outcome.output.utf8)), try JSON(parsing: Array(directory.output.utf8))
        )
        #expect(found[key] == expected[key] && expected[key] != nil)
        #expect(try await given().reduce(0) { $0 + $1.sent } <= 256 << 10)
        #expect(try !contents().contains { $0.hasSuffix("model.safetensors") })
    }

    @Test func aLongHeaderTakesASecondRequest() async throws {
        // Spaces at the end of a header are its writer's business: here as many as make it 400,000 bytes long.
        let entry = Models.entry("a", "F32", "[100000]", "[0,400000]")
        let header = "{\(entry)}" + String(repeating: " ", count: 400_000 - entry.utf8.count - 2)
        try server.put("model.safetensors", [UInt8](Models.safetensors(header, data: 400_000)), in: "models/org/long")
        try server.put("config.json", "{}", in: "models/org/long")
        let snapshot = try server.hub().snapshot(of: try #require(HubRepository("org/long")))
        let storage = try #require(try snapshot.fetchHeaders()["model.safetensors"])
        let file = try SafetensorsFile(path: "model.safetensors", storage: storage)
        #expect(file.header.entries.map(\.shape) == [[100_000]])
        let given = try await server.log().filter { $0.path.hasPrefix("/models/") }
        #expect(given.map(\.range) == ["bytes=0-262143", "bytes=262144-400007"])
        #expect(given.reduce(0) { $0 + $1.sent } == 400_008)
        // A weight is no part of it.
        let tensor = try #require(file.tensors.first)
        #expect(throws: BridgeError.self) { try tensor.storage.bytes(tensor.offset..<tensor.offset + 4) }
    }

    @Test func aServerThatGivesNoPartsIsStopped() async throws {
        try await server.fail(["match": .string(Self.weights), "times": 9, "no_range": true])
        let bridge = try AutoBridge.forPlanning("org/large", catalog: .standard(), hub: server.hub())
        #expect(bridge.directory?.tensors.count == 21)
        // What the sockets' buffers hold goes out before the server knows.
        #expect(try await given().reduce(0) { $0 + $1.sent } < 60 << 20)
    }

    @Test func aBadHeaderAndAWrongRangeAreErrors() async throws {
        try await server.fail(["match": .string(Self.weights), "times": 2, "cut": 1000])
        #expect(
            try AutoBridge.forPlanning("org/large", catalog: .standard(), hub: server.hub()).directory?.shards.count
                == 1
        )
        try await server.fail(["match": .string(Self.weights), "times": 9, "wrong": true])
        let error = #expect(throws: BridgeError.self) {
            try AutoBridge.forPlanning("org/large", catalog: .standard(), hub: server.hub())
        }
        #expect(error?.code == .corruptInput)
    }

    @Test func weightsThatAreNotHereAreNotConverted() throws {
        let bridge = try AutoBridge.forPlanning("org/large", catalog: .standard(), hub: server.hub())
        let error = #expect(throws: BridgeError.self) { try bridge.importCheckpoint(to: scratch.path("out")) }
        #expect(error?.message.contains("only the header of") == true)
        #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
    }
}
