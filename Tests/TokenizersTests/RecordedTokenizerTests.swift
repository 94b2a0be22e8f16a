import TestSupport
import Testing
import Tokenizers

/// Every tokenizer of the fixtures against what Python recorded.
@Suite struct RecordedTokenizerTests {
    static let names = [
        "tekken-style", "byte-level", "gemma-style", "llama-style", "metaspace-first", "metaspace-always", "word-parts",
        "word-ends", "tekken", "sentencepiece", "sentencepiece-rules",
    ]

    /// Mistral's and SentencePiece's own encoders never read control tokens from a text.
    static func parsesSpecialTokens(_ name: String) -> Bool {
        !name.hasPrefix("sentencepiece") && name != "tekken"
    }

    @Test(arguments: names) func idsEqualThoseOfPython(_ name: String) throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        let hashes = try Recorded.hashes(recorded.ids)
        let parses = Self.parsesSpecialTokens(name)
        for (index, text) in try TokenizerFixtures.strings().enumerated() {
            let ids = try tokenizer.encode(text, addingSpecialTokens: false, parsingSpecialTokens: parses)
            if let full = recorded.full["\(index)"] {
                #expect(ids == full, "\(index): \(text.prefix(200).debugDescription)")
            }
            let spelled = ids.prefix(60).map { tokenizer.token(of: $0) ?? "?" }
            #expect(fixtureHash(ids) == hashes[index], "\(index): \(text.prefix(200).debugDescription) gave \(spelled)")
        }
    }

    @Test(arguments: names) func decodedTextEqualsThatOfPython(_ name: String) throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        let hashes = try Recorded.hashes(recorded.text)
        let parses = Self.parsesSpecialTokens(name)
        for (index, text) in try TokenizerFixtures.strings().enumerated() {
            let ids = try tokenizer.encode(text, addingSpecialTokens: false, parsingSpecialTokens: parses)
            let decoded = try tokenizer.decode(ids)
            #expect(
                fixtureHash(decoded.utf8) == hashes[index],
                "\(index): \(text.prefix(200).debugDescription) gave \(decoded.prefix(200).debugDescription)"
            )
        }
    }

    @Test(arguments: names) func offsetsEqualThoseOfPython(_ name: String) throws {
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        guard recorded.offsets != nil else { return }
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        let hashes = try Recorded.hashes(recorded.offsets)
        for (index, text) in try TokenizerFixtures.strings().enumerated() {
            let encoding = try tokenizer.encodeWithOffsets(text, addingSpecialTokens: false)
            let numbers = encoding.offsets.flatMap { [Int32($0.lowerBound), Int32($0.upperBound)] }
            #expect(
                fixtureHash(numbers) == hashes[index],
                "\(index): \(text.prefix(200).debugDescription) gave \(encoding.offsets.prefix(40))"
            )
        }
    }

    @Test(arguments: names) func anySequenceOfTokensDecodesAsInPython(_ name: String) throws {
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        guard let sequences = recorded.random else { return }
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        let kept = try Recorded.hashes(recorded.randomText)
        let skipped = try Recorded.hashes(recorded.randomSkipped)
        for (index, ids) in sequences.enumerated() {
            let all = try tokenizer.decode(ids)
            let plain = try tokenizer.decode(ids, skippingSpecialTokens: true)
            #expect(fixtureHash(all.utf8) == kept[index], "\(ids) gave \(all.debugDescription)")
            #expect(
                fixtureHash(plain.utf8) == skipped[index],
                "\(ids) without control tokens gave \(plain.debugDescription)"
            )
        }
    }

    @Test(arguments: names) func streamedPiecesAreWholeAndJoinToTheDecodedText(_ name: String) throws {
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        var sequences = recorded.random ?? []
        for text in try TokenizerFixtures.strings() { sequences.append(try tokenizer.encode(text)) }
        for ids in sequences {
            var decoder = tokenizer.streamingDecoder()
            var joined = ""
            for id in ids { joined += try decoder.append(id) }
            joined += try decoder.finish()
            let whole = try tokenizer.decode(ids)
            #expect(Array(joined.utf8) == Array(whole.utf8), "\(ids.prefix(40))")
        }
    }

    @Test(arguments: names) func theTokensAroundATextAndTheSizeAreThoseOfPython(_ name: String) throws {
        let recorded = try TokenizerFixtures.json("\(name)/expected.json", as: Recorded.self)
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/\(name)")
        let text = Self.parsesSpecialTokens(name) ? "Hello [INST] there" : "Hello there"
        #expect(try tokenizer.encode(text) == recorded.hello)
        #expect(tokenizer.vocabularySize == recorded.vocabularySize)
    }
}
