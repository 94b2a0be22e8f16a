import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `generate`, `forward` and `verify --roundtrip` with models that are divided over ranks, which the commands start.
@Suite struct ModelRankTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func directory(_ name: String) -> String { Fixtures.checkpoint(name) }

    private var image: String {
        "\(Fixtures.root)/images/rgb.png"
    }

    /// A layout of four ranks with an image, and stages whose layers have different windows.
    @Test(arguments: [("gemma3", ["--tp", "2", "--pp", "2"]), ("ministral3", ["--tensor-model-parallel-size", "2"])])
    func theTokensAreThoseOfOneRank(_ name: String, _ layout: [String]) throws {
        let request = [
            "--hf-model", directory(name), "--prompt", "Hello", "--image", image, "--max-new-tokens", "12",
            "--ignore-eos",
            "--dtype", "float32", "--date", "2025-01-01",
        ]
        let expected = try Answer(request)
        let conversation = Conversation(prompt: "Hello", images: [.file(image)])
        let margin = try margin(of: expected.tokens, to: conversation, by: directory(name))
        try #require(margin.isCertain, "\(margin)")
        let found = try Answer(request + layout)
        #expect(found.tokens == expected.tokens)
        #expect(found.text == expected.text)
        for (one, other) in zip(found.logProbabilities, expected.logProbabilities) { #expect(abs(one - other) < 1e-3) }
    }

    @Test func onlyTheFirstRankPrintsAndAPipeGetsTheTextAlone() throws {
        let megatron = scratch.path("megatron")
        try BridgeProcess.convert(directory("mistral"), to: megatron)
        let request = ["generate", "--prompt", "Hello", "--max-new-tokens", "8", "--megatron-path", megatron]
        let one = try BridgeProcess(request).wait()
        let two = try BridgeProcess(request + ["--pp", "2", "--ep", "1", "--etp", "1"]).wait()
        #expect(one.status == 0 && two.status == 0, "\(two.errors)")
        #expect(two.output == one.output)
    }

    @Test func logitsStatesAndLossAreThoseOfOneRank() throws {
        let input = scratch.path("in.safetensors")
        let numbers = [3, 17, 44, 101, 9, 62, 30, 8].map(Int64.init)
        let bytes = (numbers + numbers).withUnsafeBytes { Data($0) }
        let header = [
            Models.entry("input_ids", "I64", "[1,8]", "[0,64]"), Models.entry("labels", "I64", "[1,8]", "[64,128]"),
        ]
        try (Models.safetensors("{\(header.joined(separator: ","))}", data: 0) + bytes).write(to: URL(filePath: input))
        func forward(_ name: String, _ layout: [String]) throws -> [String: [Float]] {
            let path = scratch.path(name)
            let words = [
                "forward", "--hf-model", directory("mistral-tied"), "--inputs", input, "--output", path,
                "--hidden-states",
                "--dtype", "float32",
            ]
            let outcome = try BridgeProcess(words + layout).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try StoredNumbers.all(inFile: path).mapValues(\.values)
        }
        let expected = try forward("one", [])
        let found = try forward("four", ["--tp", "2", "--pp", "2"])
        #expect(Set(found.keys) == Set(expected.keys) && expected.keys.contains("loss") && expected.count > 5)
        for (name, values) in expected {
            let others = try #require(found[name])
            let scale = values.reduce(0) { max($0, abs($1)) }
            let gap = zip(values, others).reduce(0) { max($0, abs($1.0 - $1.1)) }
            #expect(others.count == values.count && gap <= 1e-5 * scale, "\(name): \(gap) of \(scale)")
        }
    }

    /// The residual stream of 24 x 640 tokens has more bytes than a block of the memory through which stages exchange it, and
    /// that of 2 x 640 fewer: 7.5 MiB and 0.6.
    @Test(arguments: [2, 24]) func aLargeStreamPassesBetweenStages(_ batch: Int) throws {
        try expectLogitsOfOneRank(ofRows: batch, shell: "exec \"$@\"")
    }

    /// Four blocks do not fit a share of 64 MiB, and a part of the stream goes through messages of MPI; of 24 MiB there is no
    /// share.
    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a file system"), arguments: [24, 64])
    func aLargeStreamPassesWithLittleSharedMemory(_ size: Int) throws {
        let mount = "mount -t tmpfs -o size=\(size)m tmpfs /dev/shm"
        try expectLogitsOfOneRank(
            ofRows: 40,
            shell: "exec unshare -m sh -c '\(mount) && exec \"$@\"' sh \"$@\""
        )
    }

    private func expectLogitsOfOneRank(ofRows batch: Int, shell: String) throws {
        let (input, length) = (scratch.path("in.safetensors"), 640)
        let numbers = (0..<batch * length).map { Int64($0 * $0 % 127 + 1) }
        let header = Models.entry("input_ids", "I64", "[\(batch),\(length)]", "[0,\(8 * numbers.count)]")
        let bytes = numbers.withUnsafeBytes { Data($0) }
        try (Models.safetensors("{\(header)}", data: 0) + bytes).write(to: URL(filePath: input))
        let model = scratch.path("model")
        let toy = try BridgeProcess.run("toy", "--family", "mistral", "--output", model, "--hidden-size", "128")
        try #require(toy.status == 0, "\(toy.errors)")
        func forward(_ name: String, _ layout: [String], _ shell: String) throws -> [Float] {
            let words = [
                "forward", "--hf-model", model, "--inputs", input, "--output", scratch.path(name), "--dtype", "float32",
            ]
            let outcome = try BridgeProcess(words + layout, shell: shell).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try #require(StoredNumbers.all(inFile: scratch.path(name))["logits"]).values
        }
        let (expected, found) = (
            try forward("one", [], "exec \"$@\""), try forward("two", ["--pp", "2"], shell)
        )
        let scale = expected.reduce(0) { max($0, abs($1)) }
        let gap = zip(expected, found).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(found.count == expected.count && gap <= 1e-5 * scale, "\(gap) of \(scale)")
    }

    @Test(arguments: ["ministral3", "mistral-odd-vocab", "mistral-single-file"])
    func aModelComesBackFromTheMemoryOfRanks(_ name: String) throws {
        let outcome = try BridgeProcess.run(
            "verify",
            "--roundtrip",
            directory(name),
            "--tp",
            "2",
            "--pp",
            "2",
            "--json"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        let tensors = try Checkpoint(path: directory(name), catalog: .standard()).tensors
        #expect(json["equal"]?.bool == true && json["compared"]?.integer == tensors.count)
    }

    /// Each rank verifies what it has, and one of them has the damaged byte.
    @Test func aDamagedCheckpointIsRefused() throws {
        let megatron = scratch.url("megatron")
        try BridgeProcess.convert(directory("mistral"), to: megatron.path)
        let names = try FileManager.default.subpathsOfDirectory(atPath: megatron.path)
        let file = megatron.appendingPathComponent(try #require(names.first { $0.hasSuffix(".safetensors") }))
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 3] ^= 1
        try bytes.write(to: file)
        let words = [
            "generate", "--megatron-path", megatron.path, "--prompt", "a", "--max-new-tokens", "3", "--tp", "2",
        ]
        let outcome = try BridgeProcess(words).wait()
        #expect(outcome.status == 4 && outcome.errors.contains("is damaged in bytes"), "\(outcome.errors)")
    }

    /// Weights in memory are float32 at most, so a float64 weight with more digits is a difference.
    @Test func aWeightThatChangesIsReported() throws {
        let model = try Models.copy("mistral-single-file", to: scratch.url("model"))
        let file = model.appendingPathComponent("model.safetensors")
        let bytes = try Data(contentsOf: file)
        let length = bytes.prefix(8).withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
        let text = String(decoding: bytes[8..<8 + length], as: UTF8.self)
        let header = text.replacing(
            #""model.norm.weight":{"dtype":"F16","shape":[20],"data_offsets":[164800,164840]}"#,
            with: #""model.norm.weight":{"dtype":"F64","shape":[20],"data_offsets":[164800,164960]}"#
        )
        try #require(header != text)
        let norm = (0..<20).map { 0.1 + Double($0) }.withUnsafeBytes { Data($0) }
        try (Models.safetensors(header, data: 0) + bytes[(8 + length)..<(8 + length + 164_800)] + norm).write(to: file)
        let outcome = try BridgeProcess.run("verify", "--roundtrip", model.path, "--tp", "2")
        #expect(outcome.status == 3, "\(outcome.errors)")
        #expect(outcome.output.contains("model.norm.weight"), "\(outcome.output)")
        #expect(outcome.errors.contains("differ in 1 of 39 tensors"), "\(outcome.errors)")
    }

    @Test(arguments: [
        (
            ["generate", "--prompt", "a", "--tp", "2", "--nproc-per-node", "3"],
            "--nproc-per-node is 3, expected --tp x --pp"
        ),
        (["generate", "--prompt", "a", "--ep", "2"], "--ep is 2, expected 1"),
        (
            ["forward", "--inputs", "in", "--output", "out", "--gradients", "--pp", "2"],
            "--gradients is supported on one rank"
        ),
    ])
    func optionsThatDoNotFitAreRefused(_ words: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(words + ["--hf-model", directory("mistral")]).wait()
        #expect(outcome.status == 64 && outcome.errors.contains(sentence), "\(outcome.errors)")
    }

    @Test(arguments: [["generate", "--prompt", "a", "--hf-model"], ["verify", "--roundtrip"]])
    func aLayoutThatDoesNotFitIsGivenOthersOfTheSameOptions(_ words: [String]) throws {
        let outcome = try BridgeProcess(words + [directory("mistral"), "--tp", "3"]).wait()
        #expect(outcome.status == 64 && outcome.errors.contains("does not fit 3 ranks"), "\(outcome.errors)")
        let advice = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("  layouts ") }
        #expect(!advice.isEmpty && advice.allSatisfy { !$0.contains("DP") && !$0.contains("CP") }, "\(outcome.errors)")
    }

    @Test(arguments: [
        (["a"], "Missing expected argument '<right>'"),
        (["a", "b", "--tp", "2"], "require --roundtrip"),
        (["a", "--roundtrip", "b"], "--roundtrip compares one model with itself"),
        (["--roundtrip", "b", "--ignore-dtype"], "--ignore-dtype has no effect with --roundtrip"),
    ])
    func verifyTakesTwoCheckpointsOrOneModel(_ words: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(["verify"] + words).wait()
        #expect(outcome.status == 64 && outcome.errors.contains(sentence), "\(outcome.errors)")
    }
}
