import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// Stop texts against `StopStringCriteria` of transformers: see `Tests/Fixtures/make_stop_text_fixtures.py`.
@Suite struct StopTextTests {
    private static let recorded = Result { try Fixtures.cases("tokenizers/stop-texts.json") }

    private static func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer(tokenizerJSON: "\(Fixtures.root)/\(name)/tokenizer.json")
    }

    private static func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap(\.integer).map(Int32.init) }

    @Test func thereAreRecordedCases() throws { #expect(try Self.recorded.get().count == 8) }

    @Test(arguments: try recorded.get().indices) func anAnswerEndsWhereTransformersEndsIt(_ index: Int) throws {
        let recorded = try Self.recorded.get()[index]
        let tokenizer = try Self.tokenizer(try #require(recorded["tokenizer"]?.string))
        for (number, one) in (recorded["cases"]?.array ?? []).enumerated() {
            var stops = try StopTexts(
                (one["stops"]?.array ?? []).compactMap(\.string),
                tokenizer: tokenizer,
                prompt: Self.ids(one["prompt"])
            )
            var end: Int?
            for (position, token) in Self.ids(one["answer"]).enumerated() where end == nil {
                if try stops.append(token) != nil { end = position + 1 }
            }
            #expect(end == one["end"]?.integer, "case \(number)")
        }
    }

    /// The bytes follow from what the tokens spell: "<s>" is a special token, which is not printed.
    @Test func whatIsCutIsThePartOfTheStopTextThatIsPrinted() throws {
        let tokenizer = try Self.tokenizer("checkpoints/mistral")
        let begin = try #require(tokenizer.id(of: "<s>"))
        let letters = try "abcd".map { try #require(tokenizer.id(of: String($0))) }
        func run(_ stop: String, _ prompt: [Int32], _ answer: [Int32]) throws -> (open: [Int], cut: [Int?]) {
            var stops = try StopTexts([stop], tokenizer: tokenizer, prompt: prompt)
            var (open, cut) = ([stops.openBytes], [Int?]())
            for token in answer {
                cut.append(try stops.append(token))
                open.append(stops.openBytes)
            }
            return (open, cut)
        }
        let (a, b, c, d) = (letters[0], letters[1], letters[2], letters[3])
        // Wholly in the answer; begun in the prompt; with a special token in it; only in the prompt.
        #expect(try run("bc", [a], [a, b, c]).cut == [nil, nil, 2])
        #expect(try run("bc", [a], [a, b]).open == [0, 0, 1])
        #expect(try run("abc", [d, a], [b, c]).cut == [nil, 2])
        #expect(try run("abc", [d, a], [b]).open == [0, 1])
        #expect(try run("b<s>c", [a], [b, begin, c]).cut == [nil, nil, 2])
        #expect(try run("b<s>", [a], [b, begin]).cut == [nil, 1])
        #expect(try run("ab", [a, b], [c, d]).cut == [nil, nil])
    }
}
