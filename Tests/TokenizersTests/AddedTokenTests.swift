import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Tokenizers

/// Added tokens and the files that name them, against tokenizers and transformers: see
/// `Tests/Fixtures/make_added_token_fixtures.py`.
@Suite struct AddedTokenTests {
    private static let file = "tokenizers/added-tokens.json"
    static let added = Result { try Fixtures.cases(file, "added") }
    static let beside = Result { try Fixtures.cases(file, "beside") }
    static let parts = Result { try Fixtures.cases(file, "parts") }

    /// The tokenizer of the recorded cases.
    private static func tokenizer() throws -> JSON {
        try Fixtures.json("checkpoints/mistral/tokenizer.json")
    }

    private static func ids(_ one: JSON) -> [[Int32]] {
        (one["ids"]?.array ?? []).map { ($0.array ?? []).compactMap(\.integer).map(Int32.init) }
    }

    @Test func thereAreRecordedCases() throws {
        #expect(try [Self.added, Self.beside, Self.parts].map { try $0.get().count } == [40, 60, 70])
    }

    @Test func wordCharactersAreThoseOfPython() throws {
        var next = UInt32(0)
        func check(_ range: Range<UInt32>, _ isWord: Bool) {
            let other = range.first { Unicode.Scalar($0).map { ScalarClass.isWord($0) != isWord } ?? false }
            #expect(other == nil, "U+\(String(other ?? 0, radix: 16)) is a word character: \(!isWord)")
        }
        for range in try Fixtures.cases(Self.file, "word_characters") {
            let ends = (range.array ?? []).compactMap(\.integer).map(UInt32.init)
            check(next..<ends[0], false)
            check(ends[0]..<ends[1] + 1, true)
            next = ends[1] + 1
        }
        check(next..<0x110000, false)
    }

    @Test(arguments: try added.get().indices) func addedTokensAreFoundWherePythonFindsThem(_ index: Int) throws {
        let one = try Self.added.get()[index]
        var json = try Self.tokenizer()
        json.set(one["added_tokens"], at: "added_tokens")
        json.set(one["normalizer"], at: "normalizer")
        let tokenizer = try Tokenizer(json: json)
        for (text, ids) in zip((one["texts"]?.array ?? []).compactMap(\.string), Self.ids(one)) {
            #expect(try tokenizer.encode(text, addingSpecialTokens: false) == ids, "\(text.debugDescription)")
            #expect(try tokenizer.encodeWithOffsets(text, addingSpecialTokens: false).ids == ids)
        }
    }

    @Test(arguments: try beside.get().indices) func theFilesBesideATokenizerCountAsInTransformers(_ index: Int) throws {
        let one = try Self.beside.get()[index]
        let directory = try TemporaryDirectory()
        var json = try Self.tokenizer()
        if one["drops_post_processor"] == true { json.set(.null, at: "post_processor") }
        try directory.write(json.text(), to: "tokenizer.json")
        for (name, content) in try #require(one["files"]?.object) { try directory.write(content.text(), to: name) }
        let tokenizer = try Tokenizer(directory: directory.path)
        let texts = (one["texts"]?.array ?? []).compactMap(\.string)
        for (text, ids) in zip(texts, Self.ids(one)) { #expect(try tokenizer.encode(text) == ids, "\(text)") }
        let rendered = try tokenizer.render([ChatMessage(role: "user", content: try #require(texts.first))])
        #expect(rendered.text == one["rendered"]?.string)
    }

    @Test(arguments: try parts.get().indices) func flagsThatAreNotGivenAreThoseOfTransformers(_ index: Int) throws {
        let one = try Self.parts.get()[index]
        let directory = try TemporaryDirectory()
        var json = try Self.tokenizer()
        json.set(["type": "Lowercase"], at: "normalizer")
        if let added = one["added_tokens"]?.array { json.set(.array(added), at: "added_tokens") }
        try directory.write(json.text(), to: "tokenizer.json")
        for (name, content) in try #require(one["files"]?.object) { try directory.write(content.text(), to: name) }
        let label = "\(one["place"]?.string ?? ""), \(String(decoding: (one["flags"] ?? .null).text(), as: UTF8.self))"
        guard let ids = one["ids"]?.array?.compactMap(\.integer).map(Int32.init) else {
            let error = #expect(throws: TokenizerError.self, "\(label)") { try Tokenizer(directory: directory.path) }
            #expect(
                error?.message.contains("expected true or false") == true
                    || error?.message.contains("has to be true or false") == true
            )
            return
        }
        let tokenizer = try Tokenizer(directory: directory.path)
        #expect(try tokenizer.encode("x <w> <W> y", addingSpecialTokens: false) == ids, "\(label)")
        #expect(try tokenizer.decode(ids, skippingSpecialTokens: true) == one["shown"]?.string, "\(label)")
    }

    /// Line 483 of tokenization_utils_tokenizers.py, transformers 5.23: `special_token_value not in tokens_to_add`.
    @Test func aNamedTokenThatAnEarlierRoleHasIsNotAddedAgain() throws {
        let flags: JSON = [
            "content": "<x>", "single_word": true, "lstrip": false, "rstrip": false, "normalized": false,
        ]
        let names = try NamedTokens(
            configuration: .object(JSONObject()),
            map: ["unk_token": "<x>", "sep_token": flags, "pad_token": "<x>"]
        )
        #expect(names.tokens.map(\.content) == ["<x>", "<x>"])
        #expect(names.tokens.map(\.isSingleWord) == [false, true], "the last one's flags count")
        #expect(names.byRole["pad_token"] == "<x>")
    }
}
