import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Tokenizers

/// Conversations framed by the control tokens of a tekken.json, against mistral-common: see
/// `Tests/Fixtures/make_instruct_fixtures.py`.
@Suite struct InstructChatTests {
    private static let recorded = Result { try Fixtures.json("tokenizers/instruct-chats.json") }
    static let chats = Result { try Fixtures.cases("tokenizers/instruct-chats.json", "chats") }

    /// A tokenizer of a version, alone in its directory.
    private static func tokenizer(_ version: String, image: Int? = nil) throws -> Tokenizer {
        var json = try Fixtures.json("tokenizers/tekken/tekken.json")
        json.set(.string(version), at: "config.version")
        let names = (try recorded.get()["special"]?.array ?? []).compactMap(\.string)
        let special = names.enumerated().map { rank, name -> JSON in
            ["rank": .number(JSONNumber(rank)), "token_str": .string(name), "is_control": true]
        }
        json.set(.array(special), at: "special_tokens")
        if let image { json.set(["max_image_size": .number(JSONNumber(image))], at: "image") }
        let directory = try TemporaryDirectory()
        try directory.write(json.text(), to: "tekken.json")
        return try Tokenizer(directory: directory.path)
    }

    @Test(arguments: ["v3", "v7", "v11", "v13"]) func theTokensAreThoseOfMistralCommon(_ version: String) throws {
        let tokenizer = try Self.tokenizer(version)
        let chats = try Self.chats.get()
        #expect(tokenizer.framesConversations && chats.count == 160)
        var accepted = 0
        for (index, chat) in chats.enumerated() {
            let messages = try ChatMessage.list(ChatValue(try #require(chat["messages"])))
            var options = ChatTemplate.Options()
            options.continuesFinalMessage = chat["continues"] == true
            options.addsGenerationPrompt = !options.continuesFinalMessage
            options.tools = chat["tools"]?.array?.map { ChatValue($0) }
            guard let expected = chat["ids"]?[version]?.array else {
                let error = #expect(throws: TokenizerError.self, "chat \(index)") {
                    _ = try tokenizer.render(messages, options: options)
                }
                #expect(error?.message.contains("\n") == false)
                continue
            }
            accepted += 1
            do {
                let (encoding, _) = try tokenizer.encode(tokenizer.render(messages, options: options))
                #expect(encoding.ids == expected.compactMap(\.integer).map(Int32.init), "chat \(index)")
            } catch {
                Issue.record("chat \(index): \(error)")
            }
        }
        #expect(accepted > 40)
    }

    @Test func theAssistantIsMarkedWithItsEnd() throws {
        let tokenizer = try Self.tokenizer("v7")
        let messages = [
            ChatMessage(role: "user", content: "Hi"), ChatMessage(role: "assistant", content: "Ho [INST]"),
            ChatMessage(role: "user", content: "</s>"), ChatMessage(role: "assistant", content: "Yes"),
        ]
        let (encoding, isAssistant) = try tokenizer.encode(tokenizer.render(messages))
        let said = zip(encoding.ids, isAssistant).filter(\.1).map(\.0)
        #expect(try tokenizer.decode(said) == "Ho [INST]</s>Yes</s>")
        #expect(said.filter { tokenizer.isSpecial($0) } == [2, 2])
    }

    @Test func aVersionThatIsNotKnownIsNamed() throws {
        for version in ["v15", "v2", "nonsense"] {
            let tokenizer = try Self.tokenizer(version)
            let error = #expect(throws: TokenizerError.self) {
                _ = try tokenizer.render([ChatMessage(role: "user", content: "Hi")])
            }
            #expect(
                error?.message.contains("'\(version)'") == true && error?.message.contains("v3, v7, v11, v13") == true
            )
        }
    }

    @Test func aTemplateBesideTheFileGoesFirst() throws {
        let directory = try TemporaryDirectory()
        try directory.copy(tokenizerFile: "tekken/tekken.json")
        try directory.write(
            Array("{{ bos_token }}T{{ messages[0].content }}{{ eos_token }}".utf8),
            to: "chat_template.jinja"
        )
        let tokenizer = try Tokenizer(directory: directory.path)
        #expect(!tokenizer.framesConversations)
        #expect(try tokenizer.render([ChatMessage(role: "user", content: "x")]).text == "<s>Tx</s>")
    }

    @Test func theLargestImageIsThatOfTheFile() throws {
        #expect(try Self.tokenizer("v3", image: 1540).largestImageSide == 1540)
        #expect(try Self.tokenizer("v3").largestImageSide == nil)
    }
}
