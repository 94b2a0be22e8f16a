import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// What ends a download from outside: what has come is kept, and the next run asks for the rest.
@Suite struct InterruptTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory
    private static let weights = "GET /models/.*safetensors.sig"

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
    }

    /// The contents below a directory that have not come whole.
    private func parts(_ directory: String? = nil) -> [String] {
        let directory = directory ?? server.home
        return TemporaryDirectory.content(of: directory).filter { $0.hasSuffix(".incomplete") }.map {
            "\(directory)/\($0)"
        }
    }

    /// Starts a run against a hub that gives `stall` bytes of each file and then nothing, and waits until they are on the disk.
    private func started(
        _ arguments: [String],
        stall: Int,
        files: Int = 1,
        below directory: String? = nil
    ) async throws -> BridgeProcess {
        let number = JSON.number(JSONNumber(stall))
        try await server.fail(["match": .string(Self.weights), "times": 1000, "stall": number])
        let patient = server.variables.merging(["HF_HUB_DOWNLOAD_TIMEOUT": "600"]) { $1 }
        let run = try BridgeProcess(arguments, environment: patient)
        /// What is not a hole.
        func byteCount() -> Int {
            parts(directory).reduce(0) { sum, path in
                var status = stat()
                return stat(path, &status) == 0 ? sum + Int(status.st_blocks) * 512 : sum
            }
        }
        try run.wait(until: "\(files * stall) bytes are on the disk") { byteCount() >= files * stall }
        return run
    }

    /// The requests for weights.
    private func weights() async throws -> [HubServer.Request] {
        try await server.log().filter { $0.path.hasPrefix("/models/") }
    }

    /// Runs it again, and says which stretches it asked for and how many bytes of weights came.
    private func again(_ arguments: [String]) async throws -> (ranges: [String], sent: Int) {
        try await server.fail()
        let before = try await weights().count
        let outcome = try BridgeProcess(arguments, environment: server.variables).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let later = try await weights()[before...]
        return (later.map(\.range), later.reduce(0) { $0 + $1.sent })
    }

    @Test(arguments: [SIGINT, SIGTERM]) func aStoppedDownloadResumesAtItsLastByte(_ signal: Int32) async throws {
        let content = try server.put("model.safetensors", HubServer.bytes(3_000_000))
        try server.put("config.json", "{}")
        let arguments = ["hub", "download", "org/name", "--all"]
        let run = try await started(arguments, stall: 600_000)
        run.send(signal)
        expect(try run.wait(), failsWith: 130, mentioning: "interrupted", "kept")
        #expect(parts().count == 1)
        let (ranges, sent) = try await again(arguments)
        #expect(!ranges.isEmpty && !ranges.contains { $0.hasPrefix("bytes=0-") }, "\(ranges)")
        #expect(sent < content.count - 400_000, "\(sent)")
        #expect(parts().isEmpty)
        let directory = try server.hub(["HF_HUB_OFFLINE": "1"]).directory(of: "org/name", for: .everything)
        #expect(try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/model.safetensors"))) == content)
    }

    @Test func aKillCostsLittle() async throws {
        // Four pieces of 16 MiB, each of which stalls when 10 MB of it are here.
        let stretch = HubServer.bytes(1_000_003)
        let content = try server.put("model.safetensors", Array((0..<68).flatMap { _ in stretch }.prefix(4 << 24)))
        try server.put("config.json", "{}")
        let arguments = ["hub", "download", "org/name", "--all"]
        let run = try await started(arguments, stall: 10_000_000, files: 4)
        run.send(SIGKILL)
        #expect(try run.wait().signal == SIGKILL)
        let (ranges, sent) = try await again(arguments)
        // What had not been written down yet is less than a MiB, and what of each piece was in the last buffers.
        #expect(sent < content.count - 40_000_000 + (2 << 20), "\(ranges)")
        let directory = try server.hub(["HF_HUB_OFFLINE": "1"]).directory(of: "org/name", for: .everything)
        #expect(try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/model.safetensors"))) == content)
        #expect(parts().isEmpty)
    }

    @Test func aConversionLeavesTheDestinationAsItWas() async throws {
        try server.put(directory: Fixtures.checkpoint("mistral"))
        let out = scratch.path("out")
        let first = try BridgeProcess.run(
            "convert",
            "--hf-model",
            Fixtures.checkpoint("mistral"),
            "--megatron-path",
            out
        )
        #expect(first.status == 0, "\(first.errors)")
        let before = TemporaryDirectory.bytes(of: scratch.path)
        let arguments = ["convert", "--hf-model", "org/name", "--megatron-path", out, "--overwrite", "--tp", "2"]
        let run = try await started(arguments, stall: 40_000, files: 3)
        run.send(SIGINT)
        expect(try run.wait(), failsWith: 130, mentioning: "interrupted")
        #expect(TemporaryDirectory.bytes(of: scratch.path) == before)
        #expect(parts().count == 3)
        let weights = try contents(of: Fixtures.checkpoint("mistral")).filter { $0.key.hasSuffix(".safetensors") }
        let (_, sent) = try await again(arguments)
        #expect(sent < weights.values.reduce(0) { $0 + $1.count } - 40_000, "\(sent)")
        #expect(try BridgeProcess.run("checkpoint", "check", out).status == 0)
        #expect(parts().isEmpty)
    }

    @Test func withoutACacheAnInterruptLeavesNothing() async throws {
        try server.put(directory: Fixtures.checkpoint("mistral"))
        let run = try await started(
            ["convert", "--hf-model", "org/name", "--megatron-path", scratch.path("out"), "--no-cache"],
            stall: 40_000,
            files: 3,
            below: scratch.path(".out.source")
        )
        #expect(scratch.content.contains(".out.source"))
        run.send(SIGINT)
        expect(try run.wait(), failsWith: 130, mentioning: "interrupted")
        #expect(scratch.content.isEmpty)
        #expect(TemporaryDirectory.content(of: server.home).isEmpty)
    }
}
