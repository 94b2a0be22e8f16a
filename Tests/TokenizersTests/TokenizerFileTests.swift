import Foundation
import TestSupport
import Testing
import Tokenizers

/// Files that are damaged, hostile or unknown end with an error, and what stands beside a tokenizer is read.
@Suite struct TokenizerFileTests {
    static func failure(_ files: [String: String]) throws -> TokenizerError? {
        let directory = try TemporaryDirectory()
        for (name, text) in files { try directory.write(Array(text.utf8), to: name) }
        do {
            _ = try Tokenizer(directory: directory.path)
            return nil
        } catch {
            #expect(!error.message.contains("\n"), "\(error.message)")
            return error
        }
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{}", "{\"model\": 1}", "{\"model\": {}}", "{\"model\": {\"vocab\": []}}",
        "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", "{\"model\": {\"vocab\": {\"a\": -1}, \"merges\": []}}",
        "{\"model\": {\"vocab\": {\"a\": 99999999999}, \"merges\": []}}",
        "{\"model\": {\"vocab\": {\"a\": \"0\"}, \"merges\": []}}",
        "{\"model\": {\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [3]}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.5}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"normalizer\": {\"type\": \"Nope\"}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {}, \"behavior\": \"Isolated\"}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"decoder\": {\"type\": \"CTC\"}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"decoder\": {}}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"added_tokens\": [{\"id\": 5}]}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"added_tokens\": 7}",
        "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [], \"special_tokens\": {}}}",
    ]) func aBadTokenizerFileIsOneSentence(_ text: String) throws {
        let error = try #require(try Self.failure(["tokenizer.json": text]), "\(text)")
        #expect(error.message.contains("tokenizer.json"), "\(error.message)")
    }

    @Test(arguments: [
        "{}",
        "{\"config\": {\"pattern\": \"a\", \"default_num_special_tokens\": 1, \"default_vocab_size\": 3}, \"vocab\": []}",
        "{\"config\": {\"pattern\": \"a\", \"default_num_special_tokens\": 1, \"default_vocab_size\": 2}, \"vocab\": [{\"rank\": 0, \"token_bytes\": \"YQ==\"}]}",
        "{\"config\": {\"pattern\": \"a\", \"default_num_special_tokens\": 1, \"default_vocab_size\": 2}, \"vocab\": [{\"rank\": 0, \"token_bytes\": \"?\"}]}",
        "{\"config\": {\"pattern\": \"a\", \"default_num_special_tokens\": 1, \"default_vocab_size\": 2}, \"vocab\": [{\"rank\": 5, \"token_bytes\": \"YQ==\"}]}",
    ]) func aBadTekkenFileIsOneSentence(_ text: String) throws {
        #expect(try Self.failure(["tekken.json": text])?.code == .badFile, "\(text)")
    }

    @Test func anEmptyOrMissingDirectoryIsAnError() throws {
        #expect(try Self.failure([:])?.code == .unreadableFile)
        #expect(throws: TokenizerError.self) { try Tokenizer(directory: "/nonexistent/model") }
        #expect(try Self.failure(["tokenizer.model": ""])?.code == .badFile)
        #expect(try Self.failure(["tokenizer.model": "text"])?.code == .badFile)
    }

    @Test(arguments: [
        "word-ends/tokenizer.json", "metaspace-first/tokenizer.json", "byte-level/tokenizer.json", "tekken/tekken.json",
        "sentencepiece/tokenizer.model", "sentencepiece-rules/tokenizer.model",
    ]) func damagedFilesNeverTrap(_ fixture: String) throws {
        let directory = try TemporaryDirectory()
        let original = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(TokenizerFixtures.path)/\(fixture)")))
        let name = (fixture as NSString).lastPathComponent
        var random = TestSeed.generator()
        var refused = 0
        for round in 0..<60 {
            var bytes = original
            if round % 4 == 0 { bytes.removeLast(1 + random.below(bytes.count - 1)) }
            for _ in 0...random.below(8) {
                bytes[random.below(bytes.count)] = UInt8(random.below(256))
            }
            try directory.write(bytes, to: name)
            guard let tokenizer = try? Tokenizer(directory: directory.path) else {
                refused += 1
                continue
            }
            let ids = try? tokenizer.encode("Hello  wörld [INST] 👩‍👩‍👧‍👦\n\t<keep> 123 안녕")
            _ = try? tokenizer.decode((ids ?? []) + [0, 5, 700, -1, .max, .min])
        }
        // At least the truncated ones.
        #expect(refused >= 15, "\(refused), \(TestSeed.note)")
    }

    @Test func theControlTokensAndTheTemplateComeFromTheFilesBeside() throws {
        let directory = try TemporaryDirectory()
        try directory.copy(tokenizerFile: "llama-style/tokenizer.json")
        try directory.write(
            Array(#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "A{{ bos_token }}"}"#.utf8),
            to: "tokenizer_config.json"
        )
        var tokenizer = try Tokenizer(directory: directory.path)
        #expect(tokenizer.settings.beginToken == "<s>")
        #expect(tokenizer.settings.endToken == "</s>")
        #expect(try tokenizer.render([ChatMessage(role: "user", content: "x")]).text == "A<s>")

        try directory.write(Array(#"{"chat_template": "B{{ eos_token }}"}"#.utf8), to: "chat_template.json")
        tokenizer = try Tokenizer(directory: directory.path)
        // The file is a processor's: transformers' AutoTokenizer does not read it.
        #expect(try tokenizer.render([ChatMessage(role: "user", content: "x")]).text == "A<s>")

        try directory.write(Array("C{{ messages[0].content }}\n".utf8), to: "chat_template.jinja")
        tokenizer = try Tokenizer(directory: directory.path)
        #expect(try tokenizer.render([ChatMessage(role: "user", content: "x")]).text == "Cx")
    }

    /// Source of the order: `get_processor_dict` in `processing_utils.py`, transformers 5.23.
    @Test func theTemplateOfAProcessorComesBeforeThatOfItsTokenizer() throws {
        let directory = try TemporaryDirectory()
        try directory.copy(tokenizerFile: "llama-style/tokenizer.json")
        try directory.write(Array(#"{"chat_template": "A"}"#.utf8), to: "tokenizer_config.json")
        func text(ofProcessor template: String?) throws -> String {
            var tokenizer = try Tokenizer(directory: directory.path)
            try tokenizer.takeProcessorTemplates(directory.path, ofProcessor: template)
            return try tokenizer.render([ChatMessage(role: "user", content: "x")]).text
        }
        #expect(try text(ofProcessor: nil) == "A")
        try directory.write(Array(#"{"chat_template": "B"}"#.utf8), to: "chat_template.json")
        #expect(try text(ofProcessor: nil) == "B")
        #expect(try text(ofProcessor: "P") == "P")
    }

    @Test func specialTokensThatAreToBeSplitAreRefused() throws {
        let directory = try TemporaryDirectory()
        try directory.copy(tokenizerFile: "llama-style/tokenizer.json")
        try directory.write(Array(#"{"split_special_tokens": false}"#.utf8), to: "tokenizer_config.json")
        _ = try Tokenizer(directory: directory.path)
        try directory.write(Array(#"{"split_special_tokens": true}"#.utf8), to: "tokenizer_config.json")
        #expect {
            try Tokenizer(directory: directory.path)
        } throws: { error in
            (error as? TokenizerError)?.message.contains("split_special_tokens is true; supported: false") == true
        }
    }

    @Test func templatesWithNamesAreChosenByName() throws {
        let directory = try TemporaryDirectory()
        try directory.copy(tokenizerFile: "llama-style/tokenizer.json")
        let list =
            #"[{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]"#
        try directory.write(Array("{\"chat_template\": \(list)}".utf8), to: "tokenizer_config.json")
        let tokenizer = try Tokenizer(directory: directory.path)
        let messages = [ChatMessage(role: "user", content: "x")]
        var options = ChatTemplate.Options()
        #expect(try tokenizer.render(messages, options: options).text == "D")
        options.tools = [["name": "f"]]
        #expect(try tokenizer.render(messages, options: options).text == "T")
        #expect(try tokenizer.chatTemplate(named: "rag").render(messages, specialTokens: [:]).text == "R")
        #expect(throws: TokenizerError.self) { try tokenizer.chatTemplate(named: "other") }
    }

    @Test func aPromptHasOneBeginToken() throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/tekken-style")
        let plain = try tokenizer.encodePrompt("[INST]Hi[/INST]")
        #expect(plain == (try tokenizer.encodePrompt("<s>[INST]Hi[/INST]")))
        #expect(plain.filter { $0 == 1 }.count == 1)
        let chat = RenderedChatSample.text
        #expect(try tokenizer.encodePrompt(chat).filter { $0 == 1 }.count == 1)
    }

    @Test func theMaskCoversTheTurnsOfTheAssistant() throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/tekken-style")
        let template = try ChatTemplate(
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}"
                + "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
        )
        let messages = [
            ChatMessage(role: "user", content: "é👍 one"), ChatMessage(role: "assistant", content: "two é👍"),
            ChatMessage(role: "user", content: "three"), ChatMessage(role: "assistant", content: "four"),
        ]
        let chat = try template.render(messages, specialTokens: ["bos_token": "<s>", "eos_token": "</s>"])
        let (encoding, isAssistant) = try tokenizer.encode(chat)
        let said = zip(encoding.ids, isAssistant).filter(\.1).map(\.0)
        #expect(try tokenizer.decode(said) == "two é👍</s>four</s>")
        #expect(try tokenizer.decode(encoding.ids) == chat.text)
    }

    @Test func textFromStrangersHoldsNoControlTokens() throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/tekken-style")
        let ids = try tokenizer.encode("[INST]</s>", addingSpecialTokens: false, parsingSpecialTokens: false)
        #expect(!ids.contains { tokenizer.isSpecial($0) })
        #expect(try tokenizer.decode(ids) == "[INST]</s>")
    }

    @Test func placeholdersOfDatesAreFilledOnlyOnDemand() throws {
        let template = try ChatTemplate("{{ 'It is {today}, after {yesterday}.' }}{{ messages[0].content }}")
        let messages = [ChatMessage(role: "user", content: " {today}")]
        var options = ChatTemplate.Options()
        options.date = try ChatDate("2024-03-01")
        #expect(
            try template.render(messages, specialTokens: [:], options: options).text
                == "It is {today}, after {yesterday}. {today}"
        )
        options.fillsDatePlaceholders = true
        let filled = try template.render(messages, specialTokens: [:], options: options).text
        #expect(filled == "It is 2024-03-01, after 2024-02-29. {today}")
        #expect(throws: TemplateError.self) { try ChatDate("2023-02-29") }
        #expect(throws: TemplateError.self) { try ChatDate("yesterday") }
    }

    @Test func everyEscapedScalarOfJSONIsRead() throws {
        // json-c misreads pairs of surrogates whose scalar ends in D800 to DFFF, and ends keys at U+0000.
        for value: UInt32 in [0, 1, 0x1F600, 0x1D800, 0x2D8FF, 0x31DC0, 0x10_DFFF, 0x10_FFFF, 0xFFFE, 0xE9] {
            let text = String(try #require(Unicode.Scalar(value)))
            let escaped = text.utf16.map {
                "\\u" + String(repeating: "0", count: 4 - String($0, radix: 16).count) + String($0, radix: 16)
            }
            let parsed = try ChatValue(json: "{\"\(escaped.joined())x\": \"\\\\u0000\(escaped.joined())\"}")
            #expect(parsed == .object([.init("\(text)x", .text("\\u0000\(text)"))]), "\(value)")
        }
    }

    @Test func aPatternWithoutEndIsAnError() throws {
        let directory = try TemporaryDirectory()
        let text =
            #"{"model": {"vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|a|aa)+$|(a+)+b"}, "behavior": "Isolated"}}"#
        try directory.write(Array(text.utf8), to: "tokenizer.json")
        let tokenizer = try Tokenizer(directory: directory.path)
        #expect(throws: TokenizerError.self) { try tokenizer.encode(String(repeating: "a", count: 60) + "c") }
    }
}

/// What a chat template prints in front of a turn.
private enum RenderedChatSample {
    static let text = "<s>[SYSTEM_PROMPT]x[/SYSTEM_PROMPT][INST]y[/INST]"
}
