import BridgeCore
import Foundation
import Imaging
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

@Suite struct RowSourceTests {
    private func source(_ text: String, model: String = "mistral", in directory: TemporaryDirectory) throws
        -> TokenizedSource
    {
        let path = try directory.write(Array(text.utf8), to: "rows.jsonl")
        return try TokenizedSource(path: path, processor: DataSupport.processor(model))
    }

    private func preloaded(_ text: String, model: String = "gemma3", in directory: TemporaryDirectory) throws
        -> PreloadedSource
    {
        let path = try directory.write(Array(text.utf8), to: "rows.json")
        let encoder = try DataSupport.encoder(DataSupport.processor(model))
        return try PreloadedSource(path: path, imageFolder: "\(Fixtures.root)/images", encoder: encoder)
    }

    @Test func tokenizedRowsAreUnchanged() throws {
        let directory = try TemporaryDirectory()
        let text = "{\"input_ids\": [1, 5, 9], \"labels\": [-100, 5, 8]}\n\n  \r\n{\"labels\":[7],\"input_ids\":[3]}"
        let source = try source(text, in: directory)
        #expect(source.count == 2)
        #expect(try source.sample(at: 0) == TrainingSample(tokens: [1, 5, 9], labels: [-100, 5, 8]))
        #expect(try source.sample(at: 1) == TrainingSample(tokens: [3], labels: [7]))
    }

    @Test func paddingAtTheEndOfATokenizedRowIsRemoved() throws {
        let directory = try TemporaryDirectory()
        let rows = [
            #"{"input_ids": [1, 5, 0, 0], "labels": [-100, 5, -100, -100], "attention_mask": [1, 1, 0, 0]}"#,
            #"{"input_ids": [1, 5], "labels": [-100, 5], "attention_mask": [1, 1], "position_ids": [0, 1]}"#,
            #"{"input_ids": [1, 5], "labels": [-100, 5], "attention_mask": null, "position_ids": null}"#,
        ]
        let source = try source(rows.joined(separator: "\n"), in: directory)
        for row in 0..<3 {
            #expect(try source.sample(at: row) == TrainingSample(tokens: [1, 5], labels: [-100, 5]))
        }
    }

    @Test(arguments: [
        ("[1", "not valid JSON"), ("3", "input_ids is missing"), (#"{"input_ids": [1]}"#, "labels is missing"),
        (#"{"input_ids": [1, 2], "labels": [1]}"#, "1 labels for 2"),
        (#"{"input_ids": [], "labels": []}"#, "empty"),
        (#"{"input_ids": [-100], "labels": [1]}"#, "input_ids[0] is -100"),
        (#"{"input_ids": [99999999999999999999], "labels": [1]}"#, "input_ids[0]"),
        (#"{"input_ids": [1], "labels": [1.5]}"#, "labels[0] is 1.5"),
        (#"{"input_ids": [1], "labels": [1], "images": ["none.png"]}"#, "is text-only"),
        (#"{"input_ids": [0, 5, 9], "labels": [-100, 5, 9], "attention_mask": [0, 1, 1]}"#, "at the end of a row only"),
        (#"{"input_ids": [5, 0, 9], "labels": [5, -100, 9], "attention_mask": [1, 0, 1]}"#, "at the end of a row only"),
        (#"{"input_ids": [5, 9, 0], "labels": [5, 9, 0], "attention_mask": [1, 1, 0]}"#, "labels of padding"),
        (#"{"input_ids": [5], "labels": [5], "attention_mask": [0]}"#, "attention_mask"),
        (#"{"input_ids": [5, 9], "labels": [5, 9], "attention_mask": [1]}"#, "a list of 2 zeros and ones"),
        (#"{"input_ids": [5, 9], "labels": [5, 9], "attention_mask": [1, 2]}"#, "a list of 2 zeros and ones"),
        (#"{"input_ids": [5, 9], "labels": [5, 9], "attention_mask": "11"}"#, "a list of 2 zeros and ones"),
        (#"{"input_ids": [5, 9], "labels": [5, 9], "position_ids": [1, 2]}"#, "position_ids"),
    ])
    func aTokenizedRowThatIsWrongNamesFileAndLine(_ row: String, _ words: String) throws {
        let directory = try TemporaryDirectory()
        let source = try source("{\"input_ids\": [1], \"labels\": [1]}\n\n\(row)\n", in: directory)
        expectError(mentioning: "rows.jsonl, line 3", words) { try source.sample(at: 1) }
        expectError(mentioning: "no row 2") { try source.sample(at: 2) }
        expectError(mentioning: "no row -1") { try source.sample(at: -1) }
    }

    @Test func tokenizedImagesHaveToFitTheirTokens() throws {
        let directory = try TemporaryDirectory()
        let processor = try DataSupport.processor("gemma3")
        let id = try #require(processor.imageTokens?.featureID)
        // An image of this model has 16 features.
        func row(_ count: Int) -> String {
            let ids = [2] + [Int](repeating: id, count: count) + [5]
            return
                "{\"input_ids\": \(ids), \"labels\": \(ids.map { $0 == 5 ? 5 : -100 }), \"images\": [\"\(DataSupport.image)\"]}"
        }
        let source = try source("\(row(16))\n\(row(15))\n", model: "gemma3", in: directory)
        let sample = try source.sample(at: 0)
        #expect(sample.images.map(\.width) == [32] && sample.tokens.count == 18)
        expectError(mentioning: "line 2", "16 features", "15 image tokens") { try source.sample(at: 1) }
    }

    @Test(arguments: [
        ("", "holds no row"), (" \n\n", "holds no row"), ("[]", "holds no row"), ("[{\"a\": \"]\"}", "has no end"),
        ("[1]\n2", "line 2: something follows"), ("[\n,1]", "line 2: a comma"),
    ])
    func aFileWithoutRowsIsRefused(_ text: String, _ words: String) throws {
        let directory = try TemporaryDirectory()
        expectError(mentioning: words) { try source(text, in: directory) }
    }

    @Test func aPathWithoutAFileIsRefused() throws {
        let directory = try TemporaryDirectory()
        let processor = try DataSupport.processor("mistral")
        expectError(mentioning: "not a file") { try TokenizedSource(path: directory.path, processor: processor) }
        expectError(mentioning: "none.jsonl") {
            try TokenizedSource(path: directory.path("none.jsonl"), processor: processor)
        }
        expectError(mentioning: "zero byte") { try TokenizedSource(path: "a\0b", processor: processor) }
        // A pipe that nobody writes to must not be waited for.
        mkfifo(directory.path("pipe"), 0o600)
        expectError(mentioning: "not a file") {
            try TokenizedSource(path: directory.path("pipe"), processor: processor)
        }
    }

    @Test func aListOverManyLinesHasTheLineOfEachRow() throws {
        let directory = try TemporaryDirectory()
        let good = #"{"messages": [{"role": "user", "content": "a\"]},{"}, {"role": "assistant", "content": "b"}]}"#
        let source = try preloaded("[\n \(good),\n\n {\n\"messages\": 3},\(good)\n]\n", in: directory)
        #expect(source.count == 3)
        #expect(try source.sample(at: 0) == source.sample(at: 2))
        expectError(mentioning: "line 4", "messages is a number") { try source.sample(at: 1) }
    }

    @Test(arguments: [true, false])
    func rowsAreFoundInFilesLongerThanABuffer(_ isList: Bool) throws {
        let directory = try TemporaryDirectory()
        // Two and a half buffers of one MiB, in a member that nobody reads; brackets in it are text.
        let long = "[\\\"" + String(repeating: "{\\\\,", count: 650_000)
        let rows = (1...3).map { "{\"input_ids\": [\($0)], \"labels\": [-100], \"note\": \"\($0 == 2 ? long : "")\"}" }
        let text = isList ? "[\n\(rows.joined(separator: ",\n"))]" : rows.joined(separator: "\n")
        let source = try source(text, in: directory)
        #expect(source.count == 3)
        for row in 0..<3 {
            #expect(try source.sample(at: row).tokens == [Int32(row + 1)])
            #expect(source.location(of: row).hasSuffix("rows.jsonl, line \(row + (isList ? 2 : 1))"))
        }
    }

    @Test func damagedFilesAreErrorsWithAFileOrSamplesThatFit() throws {
        let directory = try TemporaryDirectory()
        let good = [
            #"{"messages": [{"role": "user", "content": "x <image> y"}, {"role": "assistant", "content": "z"}], "images": ["rgb.png"]}"#,
            #"{"input_ids": [1, 5, 9], "labels": [-100, 5, 8]}"#,
        ]
        let processor = try DataSupport.processor("gemma3")
        let encoder = try DataSupport.encoder(processor)
        var random = TestSeed.generator()
        var accepted = 0
        for round in 0..<400 {
            var bytes = Array("[\(good[round % 2]),\n\(good[round % 2])]".utf8)
            for _ in 0...random.below(3) {
                switch random.below(4) {
                case 0: bytes.removeSubrange(random.below(bytes.count)...)
                case 1: bytes[random.below(bytes.count)] = UInt8(random.below(256))
                case 2:
                    bytes.insert(
                        contentsOf: Array("[]{},:\"\\<-9".utf8).from(random.below(10)),
                        at: random.below(bytes.count)
                    )
                default: bytes.remove(at: random.below(bytes.count))
                }
                if bytes.isEmpty { bytes = [0x5B] }
            }
            let path = try directory.write(bytes, to: "rows.json")
            do {
                let source: any SampleSource =
                    round % 2 == 0
                    ? try PreloadedSource(path: path, imageFolder: "\(Fixtures.root)/images", encoder: encoder)
                    : try TokenizedSource(path: path, processor: processor)
                for row in 0..<source.count {
                    do {
                        let sample = try source.sample(at: row)
                        #expect(
                            sample.tokens.count == sample.labels.count && !sample.tokens.isEmpty,
                            "\(TestSeed.note)"
                        )
                        accepted += 1
                    } catch let error as BridgeError {
                        #expect(error.message.contains("rows.json, line "), "\(error.message)")
                    }
                }
            } catch let error as BridgeError {
                #expect(error.message.contains("rows.json"), "\(error.message)")
            }
        }
        // Damage behind the first row leaves that one whole.
        #expect(accepted > 20, "\(accepted), \(TestSeed.note)")
    }

    @Test func imagesKeepTheirPositionInEveryFormat() throws {
        let directory = try TemporaryDirectory()
        let forms = [
            #"{"conversation": [{"role": "user", "content": [{"type": "text", "text": "x "}, {"type": "image", "image": "rgb.png"}, {"type": "text", "text": " y"}]}, {"role": "assistant", "content": [{"type": "text", "text": "z"}]}]}"#,
            #"{"messages": [{"role": "user", "content": "x <image> y"}, {"role": "assistant", "content": "z"}], "images": ["rgb.png"]}"#,
            #"{"conversations": [{"from": "human", "value": "x <image> y"}, {"from": "gpt", "value": "z"}], "image": "rgb.png"}"#,
        ]
        let source = try preloaded(forms.joined(separator: "\n"), in: directory)
        let processor = try DataSupport.processor("gemma3")
        // The same conversation as transformers' parts, which have tests against transformers of their own.
        var expected = Conversation(messages: [
            ChatMessage(role: "user", parts: [.text("x "), .image, .text(" y")]),
            ChatMessage(role: "assistant", content: "z"),
        ])
        expected.images = [.file("\(Fixtures.root)/images/rgb.png")]
        let sample = try DataSupport.encoder(processor).encode(expected)
        for row in 0..<3 { #expect(try source.conversation(at: row) == expected) }
        for row in 0..<3 { #expect(try source.sample(at: row) == sample) }
        let ids = try #require(processor.imageTokens)
        let first = try #require(sample.tokens.firstIndex(of: Int32(ids.featureID)))
        #expect(try processor.tokenizer.decode(Array(sample.tokens[..<first])).contains("x"))
    }

    @Test func aSystemTextOfARowIsTheFirstMessage() throws {
        let directory = try TemporaryDirectory()
        let turns = #"[{"from": "human", "value": "x"}, {"from": "gpt", "value": "z"}]"#
        let rows = [
            #"{"conversations": \#(turns), "system": "Be brief."}"#, #"{"conversations": \#(turns), "system": ""}"#,
            #"{"conversations": \#(turns), "system": null}"#,
        ]
        let source = try preloaded(rows.joined(separator: "\n"), in: directory)
        let rest = [ChatMessage(role: "user", content: "x"), ChatMessage(role: "assistant", content: "z")]
        #expect(
            try source.conversation(at: 0).messages == [ChatMessage(role: "system", content: "Be brief.")] + rest
        )
        for row in 1...2 { #expect(try source.conversation(at: row).messages == rest) }
    }

    @Test func aBackslashMakesTextOfAPlaceholder() throws {
        let directory = try TemporaryDirectory()
        let rows = [
            #"{"messages": [{"role": "user", "content": "<\\<image> is \\<image>"}, {"role": "assistant", "content": "<b>\\<image>"}]}"#,
            #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "<\\<image> is \\<image>"}]}, {"role": "assistant", "content": "<b>\\<image>"}]}"#,
            #"{"messages": [{"role": "user", "content": "\\<image>: <image>\\<image>"}, {"role": "assistant", "content": "z"}], "images": ["rgb.png"]}"#,
        ]
        let source = try preloaded(rows.joined(separator: "\n"), in: directory)
        for row in 0...1 {
            #expect(
                try source.conversation(at: row)
                    == Conversation(messages: [
                        ChatMessage(role: "user", content: "<<image> is <image>"),
                        ChatMessage(role: "assistant", content: "<b><image>"),
                    ])
            )
        }
        let mixed = try source.conversation(at: 2)
        #expect(
            mixed.messages.first
                == ChatMessage(role: "user", parts: [.text("<image>: "), .image, .text("<image>")])
        )
        #expect(mixed.images.count == 1)
    }

    @Test func aCallOfAToolNeedsNoText() throws {
        let directory = try TemporaryDirectory()
        let call = #""tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]"#
        let rows = ["null", "\"\""].map {
            #"{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": \#($0), \#(call)}]}"#
        }
        let source = try preloaded(rows.joined(separator: "\n"), in: directory)
        for row in 0...1 {
            let last = try source.conversation(at: row).messages.last
            #expect(last?.fields.contains { $0.name == "tool_calls" } ?? false)
        }
    }

    @Test(arguments: [
        (
            #"{"messages": [{"role": "user", "content": "<image><image>"}], "images": ["rgb.png"]}"#,
            "1 image and 2 placeholders"
        ),
        (
            #"{"messages": [{"role": "user", "content": "<image>"}]}"#,
            #"write <image> once for each image where it belongs, and \<image> where the text itself is meant"#
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}"#,
            "messages[1] is a message of the assistant with an empty text"
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]}"#,
            "messages[1] is a message of the assistant with no content"
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls": []}]}"#,
            "messages[1] is a message of the assistant with no content"
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "text", "text": ""}]}]}"#,
            "messages[1] is a message of the assistant with an empty text"
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<image> b"}], "images": ["rgb.png"]}"#,
            "messages[1] is a message of the assistant with an image"
        ),
        (
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}], "system": "c"}"#,
            "the row has system, and messages[1] is a system message too"
        ),
        (#"{"messages": [{"role": "user", "content": "a"}], "system": 3}"#, "system is a number, expected a text"),
        (
            #"{"messages": [{"role": "user", "content": "no place"}], "images": ["rgb.png"]}"#,
            "1 image and 0 placeholders"
        ),
        (#"{"messages": [{"role": "user", "content": "<image>"}]}"#, "are 0 images and 1 placeholders"),
        (#"{"messages": [{"role": "king", "content": "a"}]}"#, "messages[0] has the role king"),
        (#"{"messages": [{"content": "a"}]}"#, "messages[0] has no role"),
        (#"{"messages": [{"role": "user"}]}"#, "messages[0] has no content"),
        (#"{"messages": [{"role": "user", "content": 3}]}"#, "a number as content"),
        (#"{"messages": [{"role": "user", "content": [{"type": "video"}]}]}"#, "content[0] is of the type video"),
        (#"{"messages": [], "x": 1}"#, "messages is empty"), (#"{"text": "a"}"#, "without a conversation"),
        (#"{"messages": [1], "conversation": [1]}"#, "both conversation and messages"),
        (#"{"messages": [1]}"#, "messages[0] is a number"),
        (#"{"messages": [{"role": "user", "content": "a"}], "videos": ["a.mp4"]}"#, "the row has videos"),
        (#"{"messages": [{"role": "user", "content": "a"}]}"#, "no turn of the assistant"),
        (
            #"{"messages": [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "b"}], "image": "gone.png"}"#,
            "gone.png: it does not exist"
        ),
        (
            #"{"messages": [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "b"}], "image": 7}"#,
            "an image is a number"
        ),
        ("[1]x", "not valid JSON"),
    ])
    func aConversationThatIsWrongNamesFileAndLine(_ row: String, _ words: String) throws {
        let directory = try TemporaryDirectory()
        let source = try preloaded("{}\n\(row)\n", in: directory)
        expectError(mentioning: "rows.json, line 2", words) { try source.sample(at: 1) }
    }

    @Test func anImageThatDoesNotDecodeNamesFileAndLine() throws {
        let directory = try TemporaryDirectory()
        let image = try directory.write([1, 2, 3], to: "bad.png")
        let row =
            #"{"messages": [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "b"}], "image": "\#(image)"}"#
        let source = try preloaded(row, in: directory)
        expectError(mentioning: "line 1", "bad.png cannot be used") { try source.sample(at: 0) }
    }

    @Test func syntheticSamplesAreReproducibleAndDiffer() throws {
        let encoder = try DataSupport.encoder(DataSupport.processor("gemma3"))
        let source = try MockSource(count: 3, imageCount: 2, seed: 7, encoder: encoder)
        let sample = try source.sample(at: 1)
        #expect(sample.images.count == 2 && sample.supervisedCount > 3)
        #expect(sample.images[0] != sample.images[1])
        #expect(try source.sample(at: 1) == sample)
        #expect(try source.sample(at: 2).images[0] != sample.images[0])
        #expect(try MockSource(count: 3, imageCount: 2, seed: 8, encoder: encoder).sample(at: 1) != sample)
        let trained = try DataSupport.trained(sample, encoder.processor)
        #expect(trained == [MockSource.answer + "<end_of_turn>"])
        expectError(mentioning: "no sample 3") { try source.sample(at: 3) }
        let text = try DataSupport.encoder(DataSupport.processor("mistral"))
        expectError(mentioning: "reads text only") { try MockSource(count: 1, seed: 0, encoder: text) }
        #expect(try MockSource(count: 1, imageCount: 0, seed: 0, encoder: text).sample(at: 0).images.isEmpty)
    }
}

extension [UInt8] {
    /// The bytes from one on, for damage of several kinds.
    fileprivate func from(_ count: Int) -> [UInt8] { Array(self[Swift.min(count, self.count)...]) }
}
