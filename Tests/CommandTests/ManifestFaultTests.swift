import Foundation
import JSONTree
import TestSupport
import Testing

/// Broken Megatron checkpoints.
@Suite struct ManifestFaultTests {
    /// A way to break a checkpoint.
    struct Fault: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var words: [String]
        var status: Int32 = 4
        /// Changes the directory `iter_0000000`.
        var damage: @Sendable (URL) throws -> Void
    }

    private static let embedding = "embedding.word_embeddings.weight"
    private static let qkv = "decoder.layers.0.self_attention.linear_qkv.weight"

    private static func manifest(_ change: @escaping @Sendable (inout JSONObject) -> Void)
        -> @Sendable (URL) throws -> Void
    {
        {
            try Models.edit($0.appendingPathComponent("manifest.json")) { json in
                var object = json.object ?? JSONObject()
                change(&object)
                json = .object(object)
            }
        }
    }

    private static func parameter(_ name: String, _ key: String, _ value: JSON?) -> @Sendable (URL) throws -> Void {
        manifest { manifest in
            var parameters = manifest["parameters"]?.object ?? JSONObject()
            var entry = parameters[name]?.object ?? JSONObject()
            entry[key] = value
            parameters[name] = .object(entry)
            manifest["parameters"] = .object(parameters)
        }
    }

    private static func chunks(_ chunks: [(global: [Int], local: [Int], size: [Int])]) -> @Sendable (URL) throws -> Void
    {
        parameter(
            embedding,
            "chunks",
            .array(
                chunks.map {
                    [
                        "file": "weights_tp00_pp00.safetensors", "global": list($0.global), "local": list($0.local),
                        "size": list($0.size),
                    ]
                }
            )
        )
    }

    private static func list(_ numbers: [Int]) -> JSON { .array(numbers.map { .number(JSONNumber($0)) }) }

    private static func file(_ name: String, _ content: String) -> @Sendable (URL) throws -> Void {
        { try Data(content.utf8).write(to: $0.appendingPathComponent(name)) }
    }

    static let faults: [Fault] = [
        Fault(testDescription: "no manifest", words: ["iter_0000000 has no manifest.json"]) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent("manifest.json"))
        },
        Fault(testDescription: "a manifest that is cut short", words: ["manifest.json", "end of data"]) {
            let file = $0.appendingPathComponent("manifest.json")
            try Data(contentsOf: file).dropLast(10).write(to: file)
        },
        Fault(
            testDescription: "a newer format",
            words: ["format version 9", "newer Bridge"],
            damage: manifest { $0["format_version"] = 9 }
        ),
        Fault(
            testDescription: "another format",
            words: ["not the manifest"],
            damage: manifest { $0["format"] = "other" }
        ),
        Fault(
            testDescription: "a missing rank file",
            words: ["weights_tp00_pp00.safetensors", "does not exist"],
            status: 1
        ) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent("weights_tp00_pp00.safetensors"))
        },
        Fault(testDescription: "a rank file that is cut short", words: ["weights_tp00_pp00.safetensors", "truncated"]) {
            let file = $0.appendingPathComponent("weights_tp00_pp00.safetensors")
            try Data(contentsOf: file).dropLast(10).write(to: file)
        },
        Fault(
            testDescription: "a missing configuration",
            words: ["huggingface/config.json", "does not exist"],
            status: 1
        ) {
            try FileManager.default.removeItem(at: $0.appendingPathComponent("huggingface/config.json"))
        },
        Fault(
            testDescription: "a chunk outside the parameter",
            words: [embedding, "outside"],
            damage: chunks([([1, 0], [0, 0], [1000, 36])])
        ),
        Fault(
            testDescription: "a chunk outside the file's tensor",
            words: [embedding, "outside"],
            damage: chunks([([0, 0], [1, 0], [1000, 36])])
        ),
        Fault(
            testDescription: "chunks that overlap",
            words: [embedding, "gaps or overlaps"],
            damage: chunks([([0, 0], [0, 0], [500, 36]), ([499, 0], [0, 0], [500, 36])])
        ),
        Fault(
            testDescription: "a chunk that stands a thousand times",
            words: [embedding, "twice"],
            damage: chunks(Array(repeating: ([0, 0], [0, 0], [1000, 36]), count: 1000))
        ),
        Fault(
            testDescription: "more chunks than any layout has",
            words: [embedding, "5000 chunks"],
            damage: chunks(Array(repeating: ([0, 0], [0, 0], [0, 0]), count: 5000))
        ),
        Fault(
            testDescription: "chunks that leave a part out",
            words: [embedding, "gaps or overlaps"],
            damage: chunks([([0, 0], [0, 0], [999, 36])])
        ),
        Fault(testDescription: "no chunks", words: [embedding, "gaps or overlaps"], damage: chunks([])),
        Fault(
            testDescription: "chunks with huge numbers",
            words: [embedding, "no memory"],
            damage: chunks([([1 << 47, 1 << 47], [0, 0], [1, 1])])
        ),
        Fault(
            testDescription: "another element type",
            words: [embedding, "bfloat16"],
            damage: parameter(embedding, "dtype", "float32")
        ),
        Fault(
            testDescription: "an unknown element type",
            words: [embedding, "dtype is float7"],
            damage: parameter(embedding, "dtype", "float7")
        ),
        Fault(
            testDescription: "a shape that overflows",
            words: [embedding, "no memory"],
            damage: parameter(embedding, "shape", list([0, 1 << 40, 1 << 40]))
        ),
        Fault(
            testDescription: "a layer that overflows",
            words: [qkv, "layer is 9223372036854775807"],
            damage: parameter(qkv, "layer", .number(.init(Int.max)))
        ),
        Fault(testDescription: "a negative layer", words: [qkv, "layer is -1"], damage: parameter(qkv, "layer", -1)),
        Fault(
            testDescription: "a chunk in a file outside the directory",
            words: [embedding, "../x.safetensors", "not inside"],
            damage: parameter(
                embedding,
                "chunks",
                [["file": "../x.safetensors", "global": [0, 0], "local": [0, 0], "size": [0, 0]]]
            )
        ),
        Fault(
            testDescription: "a file outside the directory",
            words: ["huggingface/../../x", "not inside"],
            damage: manifest { manifest in
                var files = manifest["files"]?.object ?? JSONObject()
                files["huggingface/../../x"] = ["bytes": 1, "checksum": "0"]
                manifest["files"] = .object(files)
            }
        ),
        Fault(
            testDescription: "a parameter that is left out",
            words: [embedding, "missing"],
            status: 2,
            damage: manifest { manifest in
                var parameters = manifest["parameters"]?.object ?? JSONObject()
                parameters[embedding] = nil
                manifest["parameters"] = .object(parameters)
            }
        ),
        Fault(
            testDescription: "heads that would take all memory",
            words: [qkv, "the configuration makes it of"],
            status: 2
        ) {
            try Models.edit($0.appendingPathComponent("huggingface/config.json")) {
                $0.set(67_108_864, at: "num_attention_heads")
                $0.set(67_108_864, at: "num_key_value_heads")
                $0.set(2, at: "head_dim")
            }
        },
        Fault(
            testDescription: "no number of the newest iteration",
            words: ["latest_checkpointed_iteration.txt", "number of an iteration"]
        ) {
            try Data("none".utf8).write(
                to: $0.deletingLastPathComponent().appendingPathComponent("latest_checkpointed_iteration.txt")
            )
        },
        Fault(
            testDescription: "the number of an iteration that is not there",
            words: ["latest_checkpointed_iteration.txt", "names iteration 7"]
        ) {
            try Data("7".utf8).write(
                to: $0.deletingLastPathComponent().appendingPathComponent("latest_checkpointed_iteration.txt")
            )
        },
    ]

    private let scratch: TemporaryDirectory
    private let directory: URL

    init() throws {
        scratch = try TemporaryDirectory()
        let model = Fixtures.checkpoint("mistral")
        try BridgeProcess.convert(model, to: scratch.path("in"))
        directory = scratch.url("in/iter_0000000")
    }

    @Test(arguments: faults) func isOneSentenceAndLeavesNothing(_ fault: Fault) throws {
        try fault.damage(directory)
        let before = scratch.content
        let outcome = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            scratch.path("in"),
            "--hf-path",
            scratch.path("a/out")
        )
        expect(outcome, failsWith: fault.status)
        for word in fault.words { #expect(outcome.errors.contains(word), "\(outcome.errors) lacks \(word)") }
        #expect(scratch.content == before)
    }

    @Test(arguments: [
        "bad: [", "just words",
        "model:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "bcdefgh".reduce(("", "a")) { text, key in
                (
                    "\(text.0)  \(key): &\(key) [\(Array(repeating: "*\(text.1)", count: 10).joined(separator: ", "))]\n",
                    "\(key)"
                )
            }.0,
    ])
    func aRunConfigurationThatIsNoneIsOneSentence(_ text: String) throws {
        try Data(text.utf8).write(to: directory.appendingPathComponent("run_config.yaml"))
        let outcome = try BridgeProcess.run(
            "reshard",
            "--megatron-path",
            scratch.path("in"),
            "--output",
            scratch.path("out"),
            "--tp",
            "2"
        )
        expect(outcome, failsWith: 4, mentioning: "run_config.yaml")
        #expect(!scratch.content.contains { $0.contains("out") })
    }

    @Test func checkNamesTheFileThatHasChanged() throws {
        let file = directory.appendingPathComponent("weights_tp00_pp00.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: file)
        let outcome = try BridgeProcess.run("checkpoint", "check", scratch.path("in"))
        expect(outcome, failsWith: 4, mentioning: "1 of", "weights_tp00_pp00.safetensors: its content has changed")
    }

    @Test func anExportDoesNotReplaceAnotherDirectory() throws {
        try FileManager.default.createDirectory(at: scratch.url("mine"), withIntermediateDirectories: false)
        try Data().write(to: scratch.url("mine/thesis"))
        let outcome = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            scratch.path("in"),
            "--hf-path",
            scratch.path("mine"),
            "--overwrite"
        )
        expect(outcome, failsWith: 1, mentioning: scratch.path("mine"), "choose another directory")
        #expect(FileManager.default.fileExists(atPath: scratch.path("mine/thesis")))
    }
}
