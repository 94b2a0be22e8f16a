import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// How long answers are and where they end, by `generation_config.json`: `_prepare_generation_config`,
/// `_prepare_generated_length` and `StopStringCriteria` of transformers 5.23.
@Suite struct GenerationFileTests {
    private let scratch: TemporaryDirectory
    private let model: String
    private var plain: [String] { ["--hf-model", model, "--prompt", "a", "--no-chat-template"] }

    init() throws {
        scratch = try TemporaryDirectory()
        model = scratch.path("model")
        try FileManager.default.copyItem(atPath: Fixtures.checkpoint("mistral"), toPath: model)
        try write([:])
    }

    private func write(_ generation: JSON?) throws {
        let file = "\(model)/generation_config.json"
        guard let generation else { return try FileManager.default.removeItem(atPath: file) }
        try Data(generation.text()).write(to: URL(fileURLWithPath: file))
    }

    private func setEnd(_ token: Int) throws {
        var json = try JSON(contentsOf: "\(model)/config.json")
        json.set(.number(JSONNumber(token)), at: "eos_token_id")
        try Data(json.text()).write(to: URL(fileURLWithPath: "\(model)/config.json"))
    }

    @Test func aFileWithoutEndTokensMeansThatNoTokenEndsAnAnswer() throws {
        let free = try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos"])
        #expect(free.tokens.count == 6)
        let end = free.tokens[2]
        let place = try #require(free.tokens.firstIndex(of: end))
        try setEnd(end)
        let whole = plain + ["--max-new-tokens", "6"]
        for file in [[:], ["eos_token_id": nil], ["bos_token_id": 1]] as [JSON] {
            try write(file)
            let answer = try Answer(whole)
            #expect(answer.tokens == free.tokens && answer.reason == "length")
        }
        // Without a file the configuration of the model counts.
        try write(nil)
        let short = try Answer(whole)
        #expect(short.tokens == Array(free.tokens[...place]) && short.reason == "end")
        try write(["eos_token_id": [999, .number(JSONNumber(free.tokens[0]))]])
        #expect(try Answer(whole).tokens == [free.tokens[0]])
    }

    /// `GenerationConfig.from_model_config`: without the file, `config.json` has the settings.
    @Test func withoutAFileTheConfigurationHasTheSettings() throws {
        let options = plain + ["--max-new-tokens", "6", "--ignore-eos"]
        let free = try Answer(options)
        let suppressed: JSON = [.number(JSONNumber(free.tokens[0]))]
        try write(["suppress_tokens": suppressed])
        let expected = try Answer(options).tokens
        #expect(expected != free.tokens && !expected.contains(free.tokens[0]))
        let name = "\(model)/config.json"
        var json = try JSON(contentsOf: name)
        json.set(suppressed, at: "suppress_tokens")
        try Data(json.text()).write(to: URL(fileURLWithPath: name))
        // With the file, the configuration does not count.
        try write([:])
        #expect(try Answer(options).tokens == free.tokens)
        try write(nil)
        #expect(try Answer(options).tokens == expected)
    }

    @Test(arguments: ["x", [2, "x"], true, ["a": 1], 1.5] as [JSON])
    func aWrongEndTokenIsRefused(_ value: JSON) throws {
        try write(["eos_token_id": value])
        let outcome = try BridgeProcess(["generate"] + plain).wait()
        expect(outcome, failsWith: 1, mentioning: "eos_token_id is", "expected token ids from 0 to")
        try write(nil)
        let name = "\(model)/config.json"
        var json = try JSON(contentsOf: name)
        json.set(value, at: "eos_token_id")
        try Data(json.text()).write(to: URL(fileURLWithPath: name))
        expect(try BridgeProcess(["generate"] + plain).wait(), failsWith: 1, mentioning: "eos_token_id is")
    }

    @Test func lengthsOfTheFileAreThoseOfTransformers() throws {
        let free = plain + ["--ignore-eos"]
        let prompt = try #require(
            try Answer(free + ["--max-new-tokens", "1"]).json[path: "timings.prefill_tokens"]?.integer
        )
        func count(_ file: JSON, _ options: String...) throws -> Int {
            try write(file)
            return try Answer(free + options).tokens.count
        }
        #expect(try count(["max_new_tokens": 3]) == 3)
        #expect(try count(["max_new_tokens": 260]) == 260)
        #expect(try count(["max_length": .number(JSONNumber(prompt + 258))]) == 258)
        // The prompt counts for max_length, and max_new_tokens goes before it, whichever is less.
        let length = JSON.number(JSONNumber(prompt + 2))
        #expect(try count(["max_length": length]) == 2)
        #expect(try count(["max_length": length, "max_new_tokens": 4]) == 4)
        #expect(try count(["max_length": length, "max_new_tokens": 1]) == 1)
        #expect(try count(["max_length": length, "max_new_tokens": nil]) == 2)
        // What the caller says goes before both.
        #expect(try count(["max_length": length, "max_new_tokens": 2], "--max-new-tokens", "5") == 5)
        try write(["max_length": .number(JSONNumber(prompt))])
        expect(
            try BridgeProcess(["generate"] + free).wait(),
            failsWith: 64,
            mentioning: "the prompt has \(prompt) tokens",
            "max_length"
        )
    }

    /// The default is that of `GenerationConfig._get_default_generation_params`.
    @Test func samplingTakesThe50MostLikelyTokensUnlessTold() throws {
        let one = plain + ["--ignore-eos", "--max-new-tokens", "12", "--do-sample", "--temperature", "1000"]
        let (normal, fifty) = (try Answer(one), try Answer(one + ["--top-k", "50"]))
        #expect(normal.tokens == fifty.tokens)
        #expect(try Answer(one + ["--top-k", "0"]).tokens != normal.tokens)
        #expect(try Answer(one + ["--top-k", "49"]).tokens != normal.tokens)
        try write(["top_k": 3])
        #expect(try Answer(one).tokens == Answer(one + ["--top-k", "3"]).tokens)
        #expect(try Answer(one + ["--top-k", "50"]).tokens == normal.tokens)
    }

    @Test func aStopStringMayBeginInThePrompt() throws {
        let tokenizer = try Tokenizer(directory: model)
        let free = try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos"])
        // What the first two tokens add behind a text.
        let base = try tokenizer.encode("a", addingSpecialTokens: false)
        let texts = try (0...2).map { try tokenizer.decode(base + free.tokens.prefix($0).map { Int32($0) }) }
        let stop = "a" + texts[1].dropFirst(texts[0].count)
        #expect(stop.count > 1)
        try write(["stop_strings": [.string(stop)]])
        let answer = try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos"])
        #expect(answer.tokens == Array(free.tokens.prefix(1)) && answer.reason == "stop" && answer.text.isEmpty)
        try write([:])
        #expect(try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos", "--stop", stop]).tokens == answer.tokens)
        // A text that is in the prompt alone stops nothing.
        #expect(try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos", "--stop", "a"]).tokens.count >= 1)
        let special = try Answer(plain + ["--max-new-tokens", "6", "--ignore-eos", "--stop", "<s>a"])
        #expect(special.tokens == free.tokens && special.reason == "length")
    }

    /// transformers neither sees padding on the left nor counts its positions.
    @Test func paddingOnTheLeftOfInputsChangesNothing() throws {
        func write(_ name: String, _ tensors: [(String, [Int64])]) throws -> String {
            // Bytes of int64, since inputs are whole numbers.
            let path = scratch.path(name)
            var entries: [String] = []
            var data = Data()
            for (name, values) in tensors {
                entries.append(
                    "\"\(name)\":{\"dtype\":\"I64\",\"shape\":[1,\(values.count)],\"data_offsets\":[\(data.count),\(data.count + 8 * values.count)]}"
                )
                for value in values { withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) } }
            }
            let header = "{\(entries.joined(separator: ","))}"
            var file = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
            file.append(contentsOf: header.utf8)
            file.append(data)
            try file.write(to: URL(fileURLWithPath: path))
            return path
        }
        let tokens: [Int64] = [1, 31, 77, 140, 52]
        func answer(_ path: String) throws -> [Int] {
            try Answer(["--hf-model", model, "--inputs", path, "--max-new-tokens", "5", "--dtype", "float32"]).tokens
        }
        let expected = try answer(try write("plain", [("input_ids", tokens)]))
        let padded = try write(
            "left",
            [("input_ids", [0, 9, 9] + tokens), ("attention_mask", [0, 0, 0, 1, 1, 1, 1, 1])]
        )
        #expect(try answer(padded) == expected)
        let right = try write("right", [("input_ids", tokens + [0]), ("attention_mask", [1, 1, 1, 1, 1, 0])])
        expect(
            try BridgeProcess.run("generate", "--hf-model", model, "--inputs", right),
            failsWith: 64,
            mentioning: "attention_mask",
            "left padding only"
        )
        let moved = try write("moved", [("input_ids", tokens), ("position_ids", [5, 6, 7, 8, 9])])
        expect(
            try BridgeProcess.run("generate", "--hf-model", model, "--inputs", moved),
            failsWith: 64,
            mentioning: "position_ids"
        )
    }
}
