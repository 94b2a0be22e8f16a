import BridgeCore
import Imaging
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// Conversations are read from JSON as transformers and OpenAI write them, and errors name the place.
@Suite struct ConversationTests {
    private func conversation(_ text: String, images: [ImageSource] = []) throws -> Conversation {
        try Conversation(json: JSON(parsing: Array(text.utf8)), name: "chat.json", images: images)
    }

    @Test func nullIsAsGoodAsNothing() throws {
        let read = try conversation(#"{"tools": null, "messages": [{"role": "user", "content": "hi"}]}"#)
        #expect(read == Conversation(prompt: "hi", images: []))
    }

    @Test func imagesComeInTheOrderOfTheirParts() throws {
        let read = try conversation(
            """
            {"tools": [{"type": "function"}], "messages": [
              {"role": "system", "content": "Be brief.", "name": null},
              {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "path": "one.png"},
                {"type": "image_url", "image_url": {"url": "https://host/two.png"}}, {"type": "image"}]},
              {"role": "assistant", "tool_calls": []},
              {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,AQID"},
                {"type": "image", "base64": "BAUG"}, {"type": "image", "url": null, "image": "five.png"}]}]}
            """,
            images: [.file("given.png")]
        )
        let sources = read.images.map { source in
            if case .bytes(let bytes, _) = source { "\(bytes)" } else { "\(source)" }
        }
        #expect(
            sources == ["one.png", "https://host/two.png", "given.png", "[1, 2, 3]", "[4, 5, 6]", "five.png"]
        )
        #expect(read.tools == [["type": "function"]])
        #expect(read.messages.count == 4)
        #expect(read.messages[0] == ChatMessage(role: "system", content: "Be brief."))
        let parts = read.messages[1].fields.last?.value
        #expect(
            parts
                == [
                    ["type": "text", "text": "a"], ["type": "image", "path": "one.png"],
                    ["type": "image", "url": "https://host/two.png"], ["type": "image"],
                ]
        )
    }

    @Test func theKeysOfAnAddressAreKeptOrReported() throws {
        let read = try conversation(
            #"[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}, "max_pixels": 9}]}]"#
        )
        #expect(
            read.messages[0].fields.last?.value == [["type": "image", "url": "a.png", "max_pixels": 9]]
        )
        let keys = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3")).processor().unreadKeys(of: read)
        #expect(keys == ["messages[].content[].image_url.detail", "messages[].content[].max_pixels"])
    }

    @Test func toolsInATextAreThoseOfAList() throws {
        let tool = #"{"type": "function", "function": {"name": "f", "parameters": {"default": null}}}"#
        func text(_ json: String) -> String { String(decoding: JSON.string(json).text(pretty: false), as: UTF8.self) }
        let message = #""messages": [{"role": "user", "content": "a"}]"#
        let plain = try conversation("{\(message), \"tools\": [\(tool)]}")
        #expect(plain.tools?.count == 1)
        for tools in [text("[\(tool)]"), "[\(text(tool))]", text(tool)] {
            #expect(try conversation("{\(message), \"tools\": \(tools)}") == plain)
        }
        let call = #"[{"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": {}}}]"#
        func called(_ calls: String) throws -> Conversation {
            try conversation(#"[{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": \#(calls)}]"#)
        }
        #expect(try called(text(call)) == called(call))
    }

    @Test func aByteOrderMarkIsNotPartOfAConversation() throws {
        let directory = try TemporaryDirectory()
        let text = #"[{"role": "user", "content": "a"}]"#
        let path = try directory.write([0xEF, 0xBB, 0xBF] + Array(text.utf8), to: "chat.json")
        #expect(try Conversation(contentsOf: path) == conversation(text))
    }

    @Test func aPromptIsPlainTextWithoutImages() throws {
        #expect(Conversation(prompt: "?").messages == [ChatMessage(role: "user", content: "?")])
        let image = ImageSource.file("a.png")
        let asked = Conversation(prompt: "?", images: [image], system: "s")
        #expect(
            asked.messages
                == [
                    ChatMessage(role: "system", content: "s"), ChatMessage(role: "user", parts: [.image, .text("?")]),
                ]
        )
        #expect(asked.images == [image])
    }

    @Test(arguments: [
        ("3", "chat.json is a number, expected a list of messages"), ("[]", "no messages"),
        (#"{"message": []}"#, "without a list of messages"), ("[3]", "messages[0] is a number"),
        (#"[{"content": "x"}]"#, "messages[0] has no role"),
        (#"[{"role": "user", "content": 3}]"#, "messages[0].content is a number"),
        (#"[{"role": "user", "content": ["x"]}]"#, "messages[0].content[0] is a string"),
        (#"[{"role": "user", "content": [{}]}]"#, "messages[0].content[0] has no type"),
        (#"[{"role": "user", "content": [{"type": "text"}]}]"#, "messages[0].content[0] has no text"),
        (
            #"[{"role": "a", "content": ""}, {"role": "user", "content": [{"type": "image"}]}]"#,
            "messages[1].content[0] names no"
        ),
        (#"[{"role": "user", "content": [{"type": "image", "path": 3}]}]"#, "content[0].path is a number"),
        (#"[{"role": "user", "content": [{"type": "image", "path": ""}]}]"#, "content[0].path: an image needs"),
        (#"[{"role": "user", "content": [{"type": "image", "path": "a", "url": "b"}]}]"#, "2 times, as url and path"),
        (#"[{"role": "user", "content": [{"type": "image", "base64": "!"}]}]"#, "content[0].base64 is not base64"),
        (#"[{"role": "user", "content": [{"type": "image", "url": "ftp://x/y"}]}]"#, "the scheme ftp"),
        (#"[{"role": "user", "content": [{"type": "image", "url": "data:image/png,x"}]}]"#, "base64 only"),
        (#"[{"role": "user", "content": [{"type": "image_url"}]}]"#, "content[0].image_url has no url"),
        (#"[{"role": "user", "content": [{"type": "video"}]}]"#, "expected text or images"),
        (#"{"messages": [{"role": "user"}], "tools": 3}"#, "tools is a number"),
    ])
    func anErrorNamesItsLocation(_ text: String, _ words: String) throws {
        let error = #expect(throws: BridgeError.self) { _ = try conversation(text) }
        let message = error?.message ?? ""
        #expect(message.hasPrefix("chat.json") && message.contains(words) && !message.contains("\n"), "\(message)")
    }

    @Test func imagesThatNoPartAsksForAreRefused() throws {
        let error = #expect(throws: BridgeError.self) {
            _ = try conversation(#"[{"role": "user", "content": "x"}]"#, images: [.file("a"), .file("b")])
        }
        #expect(error?.message.contains("0 parts for the 2 images") == true)
    }
}
