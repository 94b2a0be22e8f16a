import TestSupport
import Testing
import Tokenizers

/// Normalization as Hugging Face's tokenizers do it, where Foundation does it otherwise.
@Suite struct UnicodeFormTests {
    /// The ids are those of tokenizers 0.23.3 with the fixture `word-parts`, whose normalizer is NFKC.
    @Test(
        arguments: [
            // A mark that a mapping makes is sorted among the others, U+3099 (class 8) before U+0358 (class 232).
            ("a\u{358}\u{FF9E}b", [62, 310, 0, 327]), ("\u{340}\u{F75}k", [0, 0, 305, 278]),
            // Halfwidth Hangul and compatibility letters become one syllable.
            ("\u{FFA7}\u{116D}x", [0]), ("\u{3131}\u{314F}", [0]), ("q\u{FFA1}\u{FFC2}\u{FFA1} z", [78, 0, 0, 86]),
            // The neighbours of the parts of syllables.
            ("\u{AC1C}\u{11A7}", [0, 0]), ("\u{AC1C}\u{11C3}", [0, 0]),
            ("\u{1100}\u{1176}", [0, 0]), ("\u{1113}\u{1161}", [0, 0]),
            // Swift composes these with the marks as if they were H, which has the same low bits.
            ("\u{E0048}\u{327}a", [0, 0, 253]), ("\u{20048}\u{327}a", [0, 0, 253]),
            // Marks that Unicode has had only since version 10 and 11 have no class there.
            ("a\u{1DF6}\u{334}", [62, 0, 0]), ("\u{9FE}\u{9BC}a", [0, 0, 253]),
        ] as [(String, [Int32])]
    )
    func marksAndSyllablesAreThoseOfPython(_ text: String, _ ids: [Int32]) throws {
        let tokenizer = try Tokenizer(directory: "\(TokenizerFixtures.path)/word-parts")
        #expect(try tokenizer.encode(text, addingSpecialTokens: false) == ids)
        #expect(try tokenizer.encodeWithOffsets(text, addingSpecialTokens: false).ids == ids)
    }
}
