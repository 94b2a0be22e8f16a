import Foundation
import JSONTree
import TestSupport
import Testing

/// Broken models: each gives one sentence and an exit status, and leaves nothing behind.
@Suite struct FaultTests {
    /// A way to break a model.
    struct Fault: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var status: Int32
        var words: [String]
        var fixture = "mistral"
        var damage: @Sendable (URL) throws -> Void
    }

    private static let second = "model-00002-of-00003.safetensors"
    private static let index = "model.safetensors.index.json"

    private static func write(_ data: Data, _ name: String = second) -> @Sendable (URL) throws -> Void {
        { try data.write(to: $0.appendingPathComponent(name)) }
    }

    /// A second shard with a header of these entries, each name, type, shape and offsets, and so many bytes of data.
    private static func header(_ description: String, _ words: [String], _ entries: String..., data: Int) -> Fault {
        let texts = entries.map { entry in
            let fields = entry.split(separator: " ").map(String.init)
            return Models.entry(fields[0], fields[1], fields[2], fields[3])
        }
        let bytes = Models.safetensors("{\(texts.joined(separator: ","))}", data: data)
        return Fault(testDescription: description, status: 4, words: [second] + words, damage: write(bytes))
    }

    static let shards: [Fault] = [
        Fault(testDescription: "a truncated shard", status: 4, words: [second, "truncated"]) { directory in
            let file = directory.appendingPathComponent(second)
            try Data(contentsOf: file).dropLast(100).write(to: file)
        },
        Fault(
            testDescription: "a shard with bytes that belong to no tensor",
            status: 4,
            words: [second, "bytes follow"]
        ) {
            let file = $0.appendingPathComponent(second)
            try (Data(contentsOf: file) + Data(count: 3)).write(to: file)
        },
        Fault(
            testDescription: "an empty shard",
            status: 4,
            words: [second, "0 bytes"],
            damage: write(Data())
        ),
        Fault(
            testDescription: "a header longer than the file",
            status: 4,
            words: [second, "announces a header of 1099511627776 bytes"],
            damage: write(Models.safetensors("{}", data: 8, length: 1 << 40))
        ),
        Fault(
            testDescription: "a header as long as numbers go",
            status: 4,
            words: [second, "announces a header of 18446744073709551615 bytes"],
            damage: write(Models.safetensors("{}", data: 8, length: .max))
        ),
        header("overlapping tensors", ["the tensor b", "overlaps"], "a U8 [8] [0,8]", "b U8 [8] [4,12]", data: 12),
        header(
            "a gap between tensors",
            ["the tensor b", "leaves a gap"],
            "a U8 [4] [0,4]",
            "b U8 [4] [8,12]",
            data: 12
        ),
        header("offsets beyond the file", ["truncated"], "a U8 [1000] [0,1000]", data: 12),
        header("offsets that go backwards", ["the tensor a", "data_offsets"], "a U8 [4] [4,0]", data: 4),
        header("negative offsets", ["the tensor a", "data_offsets"], "a U8 [1] [-1,0]", data: 1),
        header(
            "offsets that do not fit into an integer",
            ["the tensor a", "data_offsets"],
            "a U8 [1] [0,99999999999999999999]",
            data: 1
        ),
        header(
            "a shape that overflows",
            ["the tensor a", "no memory can hold"],
            "a F32 [4294967296,4294967296,4294967296] [0,0]",
            data: 0
        ),
        header(
            "a shape that overflows behind a zero",
            ["the tensor a", "no memory can hold"],
            "a F32 [0,4611686018427387904,4611686018427387904] [0,0]",
            data: 0
        ),
        header("a shape and offsets that disagree", ["the tensor a", "takes 16"], "a F32 [4] [0,12]", data: 12),
        header("an element type that nobody knows", ["the tensor a", "F4"], "a F4 [4] [0,2]", data: 2),
        header(
            "a tensor that stands twice in a header",
            ["\"a\" is twice"],
            "a U8 [1] [0,1]",
            "a U8 [1] [1,2]",
            data: 2
        ),
        Fault(
            testDescription: "a header that is nested too deep",
            status: 4,
            words: [second, "nesting"],
            damage: write(
                Models.safetensors(String(repeating: "[", count: 9000) + String(repeating: "]", count: 9000), data: 0)
            )
        ),
        Fault(testDescription: "a tensor that stands in two shards", status: 4, words: ["is in both", second]) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent(second))
            try FileManager.default.copyItem(
                at: $0.appendingPathComponent("model-00001-of-00003.safetensors"),
                to: $0.appendingPathComponent(second)
            )
        },
        Fault(
            testDescription: "a missing shard",
            status: 4,
            words: [
                second, "lacks 1 of the 3 files", "found model-00001-of-00003.safetensors, model-00003", "download",
            ]
        ) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent(second))
        },
        Fault(testDescription: "a missing shard without an index", status: 4, words: ["2 of 00003 weight files"]) {
            for name in [second, index] { try FileManager.default.removeItem(at: $0.appendingPathComponent(name)) }
        },
        Fault(testDescription: "a directory in place of a shard", status: 1, words: [second, "not a regular file"]) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent(second))
            try FileManager.default.createDirectory(
                at: $0.appendingPathComponent(second),
                withIntermediateDirectories: false
            )
        },
        Fault(testDescription: "a named pipe in place of a shard", status: 1, words: [second, "not a regular file"]) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent(second))
            #expect(mkfifo($0.appendingPathComponent(second).path, 0o600) == 0)
        },
        Fault(testDescription: "a link that leads nowhere", status: 1, words: ["tokenizer.json", "leads nowhere"]) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent("tokenizer.json"))
            try FileManager.default.createSymbolicLink(
                atPath: $0.appendingPathComponent("tokenizer.json").path,
                withDestinationPath: "../blobs/gone"
            )
        },
    ]

    @Test(arguments: shards + FaultTests.texts) func isOneSentenceAndLeavesNothing(_ fault: Fault) throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy(fault.fixture, to: scratch.url("model"))
        try fault.damage(model)
        let before = scratch.content
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            model.path,
            "--megatron-path",
            scratch.path("a/b/out")
        )
        expect(outcome, failsWith: fault.status)
        for word in fault.words { #expect(outcome.errors.contains(word), "\(outcome.errors) lacks \(word)") }
        #expect(scratch.content == before)
    }

    @Test func theExistingCheckpointIsKeptWhenItsReplacementFails() throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("mistral", to: scratch.url("model"))
        try BridgeProcess.convert(model.path, to: scratch.path("out"))
        let before = TemporaryDirectory.bytes(of: scratch.path("out"))
        try Data().write(to: model.appendingPathComponent(Self.second))
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            model.path,
            "--megatron-path",
            scratch.path("out"),
            "--overwrite"
        )
        expect(outcome, failsWith: 4)
        #expect(TemporaryDirectory.bytes(of: scratch.path("out")) == before)
        #expect(!scratch.content.contains { $0.contains(".partial") })
    }

    @Test(
        .enabled(
            if: geteuid() != 0 || FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv"),
            "root reads everything, and there is no setpriv to be somebody else"
        )
    )
    func anUnreadableShardIsNamed() throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("mistral", to: scratch.url("model"))
        chmod(model.appendingPathComponent(Self.second).path, 0)
        chmod(scratch.path, 0o777)
        // Root reads everything, so a run by root is made as nobody.
        let shell = geteuid() == 0 ? "exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"" : "exec \"$@\""
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            model.path,
            "--megatron-path",
            scratch.path("out"),
            shell: shell
        )
        expect(outcome, failsWith: 1, mentioning: Self.second, "permission denied")
        #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
    }

    @Test func aDirectoryThatLinksToItselfIsReadOnce() throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("mistral", to: scratch.url("model"))
        for name in ["here", "again"] {
            try FileManager.default.createSymbolicLink(
                atPath: model.appendingPathComponent(name).path,
                withDestinationPath: "."
            )
        }
        try BridgeProcess.convert(model.path, to: scratch.path("out"))
        #expect(!scratch.content.contains { $0.hasPrefix("out/") && $0.contains("here") })
    }
}
