import BridgeCore
import Datasets
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

@Suite struct ConversationMakerTests {
    private struct Row: DatasetRow {
        let location = "rows.parquet, row 3"
        let values: JSON
        var columns: [String] { values.object?.map(\.key) ?? [] }

        init(columns values: JSON) { self.values = values }

        func string(_ column: String) throws -> String? { values[column]?.string }
        func image(_ column: String) throws -> ImageSource? { values[column]?.string.map { .file($0) } }
        func images(_ column: String) throws -> [ImageSource] {
            (values[column]?.array ?? []).compactMap { $0.string.map { .file($0) } }
        }
        func value(_ column: String) throws -> JSON? { values[column] }
    }

    private struct Table: DatasetTable {
        let count = 1
        let columns: JSON
        func row(at index: Int) throws -> any DatasetRow { Row(columns: columns) }
    }

    @Test func valuesAreWrittenAsMegatronBridgeWritesThem() throws {
        // Made by `Tests/Fixtures/make_training_data_fixtures.py`.
        let file = try JSON(contentsOf: "\(Fixtures.root)/training-data/expected.json")
        let cases = try #require(file["json2token"]?.array)
        #expect(cases.count == 14)
        for item in cases {
            let value = try #require(item["value"])
            #expect(json2token(value) == item["text"]?.string)
        }
    }

    private func exchange(_ images: [String], _ question: String, _ answer: String) -> Conversation {
        var conversation = Conversation(prompt: question, images: images.map { .file($0) })
        conversation.messages.append(.init(role: "assistant", content: answer))
        return conversation
    }

    @Test func receiptsTakeTheFirstOfSeveralParses() throws {
        let maker = try ConversationMaker(named: "make_cord_v2_dataset")
        let one: JSON = ["image": "a.png", "ground_truth": #"{"gt_parse": {"b": 1, "c": ["x", "y"]}}"#]
        let expected = exchange(["a.png"], "Describe this image.", "<s_c>x<sep/>y</s_c><s_b>1</s_b>")
        #expect(try maker.conversation(Row(columns: one)) == expected)
        let several: JSON = ["image": "a.png", "ground_truth": #"{"gt_parses": [{"k": "first"}, {"k": "second"}]}"#]
        let first = exchange(["a.png"], "Describe this image.", "<s_k>first</s_k>")
        #expect(try maker.conversation(Row(columns: several)) == first)
        for (truth, words) in [("{", "not valid JSON"), ("{}", "neither gt_parses nor gt_parse"), ("[]", "neither")] {
            let columns: JSON = ["image": "a.png", "ground_truth": .string(truth)]
            expectError(mentioning: "row 3", words) { try maker.conversation(Row(columns: columns)) }
        }
        expectError(mentioning: "row 3", "ground_truth") { try maker.conversation(Row(columns: ["image": "a"])) }
        expectError(mentioning: "row 3", "image") {
            try maker.conversation(Row(columns: ["ground_truth": #"{"gt_parse": 1}"#]))
        }
    }

    @Test func theOtherMakersAskAndAnswer() throws {
        let medpix: JSON = ["image_id": "m.png", "question": "Where?", "answer": "Left."]
        #expect(
            try ConversationMaker(named: "medpix").conversation(Row(columns: medpix))
                == exchange(["m.png"], "Where?", "Left.")
        )
        let raven: JSON = [
            "images": ["1.png", "2.png"],
            "texts": [["user": "Which?", "assistant": "C"], ["user": "x", "assistant": "y"]],
        ]
        #expect(
            try ConversationMaker(named: "raven_dataset").conversation(Row(columns: raven))
                == exchange(["1.png", "2.png"], "Which?", "C")
        )
        let rdr: JSON = ["image": "r.png", "text": "A thing."]
        #expect(
            try ConversationMaker(named: "make_rdr").conversation(Row(columns: rdr))
                == exchange(["r.png"], "Describe this image.", "A thing.")
        )
        expectError(mentioning: "row 3", "texts") {
            try ConversationMaker(named: "raven").conversation(Row(columns: rdr))
        }
        expectError(mentioning: "no maker named ravens", "make_raven_dataset") {
            try ConversationMaker(named: "ravens")
        }
    }

    @Test func conversationsInATableAreReadAsThoseInAFile() throws {
        let maker = try ConversationMaker(named: "make_conversation_dataset")
        let rows: [JSON] = [
            ["messages": [["role": "user", "content": "Where?"], ["role": "assistant", "content": "Left."]]],
            // A column of structures has all fields in each part, and nulls where they say nothing.
            [
                "messages": [
                    [
                        "role": "user", "tool_calls": .null,
                        "content": [
                            ["type": "image", "text": .null, "image": .null],
                            ["type": "text", "text": "Where?", "image": .null],
                        ],
                    ],
                    ["role": "assistant", "tool_calls": .null, "content": [["type": "text", "text": "Left."]]],
                ],
                "images": ["m.png"], "conversations": .null,
            ],
            [
                "conversations": [["from": "human", "value": "<image>Where?"], ["from": "gpt", "value": "Left."]],
                "images": ["m.png"],
            ],
        ]
        let expected =
            [exchange([], "Where?", "Left.")] + Array(repeating: exchange(["m.png"], "Where?", "Left."), count: 2)
        for (row, expected) in zip(rows, expected) { #expect(try maker.conversation(Row(columns: row)) == expected) }
        expectError(mentioning: "row 3", "2 images and 0 placeholders") {
            try maker.conversation(
                Row(columns: ["messages": [["role": "user", "content": "x"]], "images": ["a.png", "b.png"]])
            )
        }
        expectError(mentioning: "row 3", "expected an object with conversation, messages") {
            try maker.conversation(Row(columns: ["messages": .null]))
        }
    }

    @Test func aSystemColumnIsTheFirstMessage() throws {
        let maker = try ConversationMaker(named: "make_conversation_dataset")
        let messages: JSON = [["role": "user", "content": "Where?"], ["role": "assistant", "content": "Left."]]
        var expected = exchange([], "Where?", "Left.")
        #expect(try maker.conversation(Row(columns: ["messages": messages, "system": ""])) == expected)
        expected.messages.insert(ChatMessage(role: "system", content: "Be brief."), at: 0)
        #expect(try maker.conversation(Row(columns: ["messages": messages, "system": "Be brief."])) == expected)
    }

    @Test func aMissingColumnIsAMatterOfTheMaker() throws {
        for maker in ConversationMaker.builtIn {
            expectError(
                mentioning: "row 3",
                "\(maker.name) reads the column",
                "the data has image, caption;",
                "dataset.maker_name"
            ) { try maker.conversation(Row(columns: ["image": "a.png", "caption": "x"])) }
        }
        let half: JSON = ["image_id": "m.png", "question": "Where?"]
        expectError(mentioning: "image_id, question, answer, and the data has image_id, question;") {
            try ConversationMaker(named: "medpix").conversation(Row(columns: half))
        }
    }

    @Test func aMakerOfOnesOwnMakesSamples() throws {
        let maker = ConversationMaker(name: "own") { row in
            var conversation = Conversation(prompt: "Say it.", images: [])
            conversation.messages.append(.init(role: "assistant", content: try row.string("text") ?? ""))
            return conversation
        }
        let processor = try DataSupport.processor("mistral")
        let source = TableSource(
            table: Table(columns: ["text": "It."]),
            maker: maker,
            encoder: try DataSupport.encoder(processor)
        )
        let sample = try source.sample(at: 0)
        #expect(try DataSupport.trained(sample, processor).joined().contains("It."))
        let rdr = try ConversationMaker(named: "rdr")
        let bad = TableSource(
            table: Table(columns: ["image": "gone.png", "text": "x"]),
            maker: rdr,
            encoder: try DataSupport.encoder(DataSupport.processor("gemma3"))
        )
        expectError(mentioning: "row 3", "gone.png") { try bad.sample(at: 0) }
    }
}
