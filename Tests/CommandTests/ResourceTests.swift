import Foundation
import JSONTree
import TestSupport
import Testing

/// Inputs that are small and ask for much: the program ends with a sentence, before it has taken the memory.
@Suite struct ResourceTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func model() throws -> URL {
        let directory = scratch.url("model")
        try FileManager.default.copyItem(at: URL(filePath: Fixtures.checkpoint("mistral")), to: directory)
        return directory
    }

    private func repeated(_ text: String, _ count: Int) -> Data { Data(String(repeating: text, count: count).utf8) }

    @Test func aHeaderOfMoreTensorsThanAnyModelHasIsNamed() throws {
        let directory = try model()
        let entries = (0..<262_145).map { "\"t\($0)\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}" }
        let header = Models.safetensors("{\(entries.joined(separator: ","))}", data: 0)
        try header.write(to: directory.appendingPathComponent("model-00002-of-00003.safetensors"))
        let outcome = try BridgeProcess.run("inspect", directory.path)
        expect(outcome, failsWith: 4, mentioning: "model-00002-of-00003.safetensors lists more than 262144 tensors")
    }

    @Test func aTokenizerOfMillionsOfValuesIsNamed() throws {
        let directory = try model()
        let list = Data("[".utf8) + repeated("[0],", 6_000_000) + Data("0]".utf8)
        try list.write(to: directory.appendingPathComponent("tokenizer.json"))
        let outcome = try BridgeProcess.run("generate", "--hf-model", directory.path, "--prompt", "a")
        #expect(outcome.status != 0 && outcome.signal == nil)
        let sentence = outcome.sentence
        #expect(sentence.contains("tokenizer.json") && sentence.contains("bytes of memory"), "\(outcome.errors)")
    }

    @Test func thousandsOfBadRowsAreCountedAndTheFirstAreListed() throws {
        let path = scratch.path("rows.jsonl")
        try repeated("{}\n", 10_050).write(to: URL(fileURLWithPath: path))
        let fixture = Fixtures.checkpoint("mistral")
        let outcome = try BridgeProcess.run("data", "check", "--hf-model", fixture, "--data", path, "--json")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(outcome.status == 1 && json["bad_row_count"] == 10_050 && json["bad_rows"]?.array?.count == 10_000)
        #expect(json["rows"] == 10_050 && json["checked_rows"] == 10_050)
        let text = try BridgeProcess.run("data", "check", "--hf-model", fixture, "--data", path).output
        #expect(text.contains("and 10030 more invalid rows; --json has the first 10000\n"), "\(text)")
    }

    @Test func aLineThatIsTooLongIsNamed() throws {
        let path = scratch.path("line.txt")
        try (Data("a\n".utf8) + repeated("a", 17_000_000)).write(to: URL(fileURLWithPath: path))
        let fixture = Fixtures.checkpoint("mistral")
        let outcome = try BridgeProcess.run("tokenize", "--hf-model", fixture, "--file", path)
        expect(outcome, failsWith: 4, mentioning: "line 2 of \(path) has more than the 16777216 bytes")
    }
}
