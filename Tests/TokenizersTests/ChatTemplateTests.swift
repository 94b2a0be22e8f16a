import TestSupport
import Testing
import Tokenizers

/// Chat templates against what transformers renders from them.
@Suite struct ChatTemplateTests {
    static let fixture = Result { try ChatValue(json: TokenizerFixtures.text("templates.json")) }

    static func list(_ name: String) throws -> [ChatValue] {
        guard case .list(let items)? = try fixture.get()[name] else { throw MissingFixture(name: name) }
        return items
    }

    struct MissingFixture: Error {
        var name: String
    }

    static func date() throws -> ChatDate {
        try ChatDate(try #require(try fixture.get()["date"]?.string))
    }

    static func spans(_ value: ChatValue?) -> [Range<Int>] {
        guard case .list(let items)? = value else { return [] }
        return items.compactMap { item in
            guard case .list(let ends) = item, case .integer(let low)? = ends.first,
                case .integer(let high)? = ends.last
            else { return nil }
            return low..<high
        }
    }

    @Test func conversationsRenderAsInTransformers() throws {
        let fixture = try Self.fixture.get()
        guard case .list(let tools)? = fixture["tools"] else { throw MissingFixture(name: "tools") }
        var rendered = 0
        for entry in try Self.list("cases") {
            let name = try #require(entry["template"]?.string)
            let title = try #require(entry["conversation"]?.string)
            let template = try ChatTemplate(try #require(fixture["templates"]?[name]?.string))
            let messages = try ChatMessage.list(try #require(fixture["conversations"]?[title]))
            var options = ChatTemplate.Options()
            options.tools = entry["tools"] == true ? tools : nil
            options.addsGenerationPrompt = entry["prompt"] == true
            options.date = try Self.date()
            let result = Result {
                try template.render(
                    messages,
                    specialTokens: ["bos_token": "<s>", "eos_token": "</s>"],
                    options: options
                )
            }
            let label = "\(name), \(title), tools \(options.tools != nil), prompt \(options.addsGenerationPrompt)"
            switch (result, entry["text"]?.string) {
            case (.success(let chat), let text?):
                #expect(Array(chat.text.utf8) == Array(text.utf8), "\(label)")
                #expect(chat.assistantSpans == Self.spans(entry["spans"]), "\(label)")
                rendered += 1
            case (.failure(let error), nil):
                #expect(error is TemplateError, "\(label)")
            case (.failure(let error), _):
                Issue.record("\(label): \(error)")
            case (.success(let chat), nil):
                Issue.record(
                    "\(label): transformers fails with \(entry["error"]?.string ?? ""), but this gave \(chat.text)"
                )
            }
        }
        #expect(rendered > 100)
    }

    @Test func everyPartOfTheLanguageGivesWhatJinjaGives() throws {
        guard case .object(let values)? = try Self.fixture.get()["values"] else { throw MissingFixture(name: "values") }
        for entry in try Self.list("snippets") {
            let source = try #require(entry["source"]?.string)
            var options = ChatTemplate.Options()
            options.variables = values
            options.date = try Self.date()
            let result = Result {
                try ChatTemplate(source).render(
                    [ChatMessage(role: "user", content: "")],
                    specialTokens: [:],
                    options: options
                )
            }
            switch (result, entry["text"]?.string) {
            case (.success(let chat), let text?):
                #expect(chat.text == text, "\(source)")
                #expect(Array(chat.text.utf8) == Array(text.utf8), "\(source)")
                #expect(chat.assistantSpans == Self.spans(entry["spans"]), "\(source)")
            case (.failure(let error), nil):
                #expect((error as? TemplateError)?.line != nil, "\(source): \(error)")
            case (.failure(let error), _):
                Issue.record("\(source): \(error)")
            case (.success(let chat), nil):
                Issue.record("\(source): Jinja fails with \(entry["error"]?.string ?? ""), but this gave \(chat.text)")
            }
        }
    }
}

extension ChatValue {
    /// The text, where this is one.
    var string: String? {
        if case .text(let text) = self { return text }
        return nil
    }
}
