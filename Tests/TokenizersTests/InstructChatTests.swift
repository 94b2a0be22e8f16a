import Foundation
import JSONTree
import Testing

@testable import Tokenizers

/// Conversations framed by the control tokens of a tekken.json, against mistral-common: see
/// `Tests/Fixtures/make_instruct_fixtures.py`.
@Suite struct InstructChatTests {
    private static let recorded: JSON =
        (try? JSON(
            parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(FixtureFolder.path)/instruct-chats.json")))
        ))
        ?? .null
    static let chats = recorded["chats"]?.array ?? []

    /// A tokenizer of a version, alone in its directory.
    private static func tokenizer(_ version: String, image: Int? = nil) throws -> Tokenizer {
        let path = URL(fileURLWithPath: "\(FixtureFolder.path)/tekken/tekken.json")
        var json = try JSON(parsing: [UInt8](Data(contentsOf: path)))
        json.set(.string(version), at: "config.version")
        let names = (recorded["special"]?.array ?? []).compactMap(\.string)
        let special = names.enumerated().map { rank, name -> JSON in
            ["rank": .number(JSONNumber(rank)), "token_str": .string(name), "is_control": true]
        }
        json.set(.array(special), at: "special_tokens")
        if let image { json.set(["max_image_size": .number(JSONNumber(image))], at: "image") }
        let directory = try TokenizerFileTests.Directory()
        try directory.write("tekken.json", json.text())
        return try Tokenizer(directory: directory.path)
    }

    @Test(arguments: ["v3", "v7", "v11", "v13"]) func theTokensAreThoseOfMistralCommon(_ version: String) throws {
        let tokenizer = try Self.tokenizer(version)
        #expect(tokenizer.framesConversations && Self.chats.count == 160)
        var accepted = 0
        for (index, chat) in Self.chats.enumerated() {
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
        let directory = try TokenizerFileTests.Directory()
        try directory.copy("tekken/tekken.json")
        try directory.write("chat_template.jinja", "{{ bos_token }}T{{ messages[0].content }}{{ eos_token }}".utf8)
        let tokenizer = try Tokenizer(directory: directory.path)
        #expect(!tokenizer.framesConversations)
        #expect(try tokenizer.render([ChatMessage(role: "user", content: "x")]).text == "<s>Tx</s>")
    }

    @Test func theLargestImageIsThatOfTheFile() throws {
        #expect(try Self.tokenizer("v3", image: 1540).largestImageSide == 1540)
        #expect(try Self.tokenizer("v3").largestImageSide == nil)
    }
}
