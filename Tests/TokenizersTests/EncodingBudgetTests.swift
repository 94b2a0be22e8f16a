import JSONTree
import TestSupport
import Testing

@testable import Tokenizers

/// Tokenizers that make much of little, in memory or in time, end with an error; what only looks like it is done.
@Suite struct EncodingBudgetTests {
    /// A tokenizer of single letters with other parts.
    private static func tokenizer(_ parts: [String: JSON]) throws -> Tokenizer {
        var json: JSON = [
            "model": [
                "type": "BPE", "vocab": ["a": 0, "b": 1, "ab": 2, " ": 3, "<u>": 4], "merges": [["a", "b"]],
                "unk_token": "<u>",
            ]
        ]
        for (key, value) in parts { json.set(value, at: key) }
        return try Tokenizer(json: json)
    }

    private static func repeated(_ step: JSON, _ count: Int, _ key: String) -> JSON {
        .object(JSONObject([("type", "Sequence"), (key, .array(Array(repeating: step, count: count)))]))
    }

    private static func text(_ count: Int) -> JSON { .string(String(repeating: "b", count: count)) }

    private static let doubling: JSON = ["type": "Replace", "pattern": ["String": "a"], "content": "aa"]

    static let growing: [JSON] = [
        repeated(doubling, 60, "normalizers"),
        ["type": "Prepend", "prepend": text(3_000_000)],
        repeated(["type": "Prepend", "prepend": text(100_000)], 60, "normalizers"),
        ["type": "Replace", "pattern": ["Regex": ""], "content": text(2_000_000)],
        ["type": "Replace", "pattern": ["Regex": "."], "content": text(100_000)],
    ]

    @Test(arguments: growing.indices) func textThatGrowsIsRefused(_ index: Int) throws {
        let tokenizer = try Self.tokenizer(["normalizer": Self.growing[index]])
        for tracksOrigins in [false, true] {
            let error = #expect(throws: TokenizerError.self) {
                try tokenizer.run(String(repeating: "a", count: 100), tracksOrigins: tracksOrigins)
            }
            #expect(error?.code == .tooLarge, "\(error?.description ?? "")")
        }
    }

    @Test func whatSentencePieceAddsIsCounted() throws {
        var text = Array("a b".utf8).withUnsafeBufferPointer {
            AlignedText(
                copying: $0,
                range: 0..<3,
                tracksOrigins: false,
                budget: EncodingBudget(textBytes: 3, grownBytes: 7, seconds: 5)
            )
        }
        // A dummy prefix and one space are three bytes each.
        let error = #expect(throws: TokenizerError.self) { try SentencePieceNormalizer().apply(to: &text) }
        #expect(error?.code == .tooLarge)
    }

    @Test func growthOfManyPiecesIsCountedTogether() throws {
        let tokenizer = try Self.tokenizer([
            "normalizer": ["type": "Prepend", "prepend": Self.text(50_000)],
            "added_tokens": [
                [
                    "id": 5, "content": "|", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                ]
            ],
        ])
        #expect(try tokenizer.encode("a|a", addingSpecialTokens: false).count == 100_003)
        let error = #expect(throws: TokenizerError.self) { try tokenizer.encode(String(repeating: "a|", count: 100)) }
        #expect(error?.code == .tooLarge)
    }

    @Test func unicodeNormalizationIsNotGrowth() throws {
        // U+FDFA becomes eighteen characters of 33 bytes, the most of all.
        let tokenizer = try Self.tokenizer(["normalizer": ["type": "NFKC"]])
        #expect(throws: Never.self) { try tokenizer.encode(String(repeating: "\u{FDFA}", count: 20_000)) }
    }

    static let steps: [[String: JSON]] = [
        ["normalizer": repeated(["type": "Lowercase"], 257, "normalizers")],
        ["pre_tokenizer": repeated(["type": "Metaspace"], 257, "pretokenizers")],
        ["decoder": repeated(["type": "Fuse"], 257, "decoders")],
        ["pre_tokenizer": repeated(repeated(["type": "Digits"], 20, "pretokenizers"), 20, "pretokenizers")],
        [
            "post_processor": [
                "type": "TemplateProcessing", "special_tokens": ["<u>": ["ids": [4]]],
                "single": .array(
                    Array(repeating: ["SpecialToken": ["id": "<u>"]], count: 4097) + [["Sequence": ["id": "A"]]]
                ),
            ]
        ],
        [
            "post_processor": [
                "type": "TemplateProcessing",
                "special_tokens": ["<u>": ["ids": .array(Array(repeating: 4, count: 4097))]],
                "single": [["Sequence": ["id": "A"]], ["SpecialToken": ["id": "<u>"]]],
            ]
        ],
    ]

    @Test(arguments: steps.indices) func tooManyStepsAndPiecesAreRefused(_ index: Int) {
        let error = #expect(throws: TokenizerError.self) { try Self.tokenizer(Self.steps[index]) }
        #expect(error?.code == .tooLarge)
    }

    @Test(arguments: ["(a|aa)+$", "(?:a*)*b", "[\\s\\S]*d", "a.*a.*a.*d", "(a+)+d", "(?=a*d)a", "a*?d"])
    func anExpressionThatTakesTheSquareOfATextIsStopped(_ pattern: String) throws {
        let tokenizer = try Self.tokenizer([
            "pre_tokenizer": ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated"]
        ])
        let text = String(repeating: "a", count: 2_000_000) + "cd"
        let budget = EncodingBudget(textBytes: text.utf8.count, grownBytes: 1 << 30, seconds: 0.3)
        #expect(throws: TokenizerError.self) {
            // What is found in the first half is no match.
            try tokenizer.run(String(text.dropLast()), tracksOrigins: false, budget: budget)
        }
    }

    /// Runs of letters and spaces about as long as what an expression sees at once, and much longer.
    @Test func longRunsAreMatchedAsAWhole() throws {
        let expression = try RegularExpression(#"\p{L}+|\s+(?!\S)|\s+|\z"#)
        let lengths = [4095, 4096, 4097, 127, 128, 129, 8192, 100_000, 3, 2047, 2048]
        for round in 0..<30 {
            var (text, expected) = ("", [Range<Int>]())
            for index in 0..<6 {
                let start = text.utf8.count
                let count = lengths[(round * 7 + index * 3 + round * index) % lengths.count]
                text += String(repeating: index.isMultiple(of: 2) ? "é" : " ", count: count)
                let end = text.utf8.count
                // The last space goes alone, unless nothing follows.
                expected += index.isMultiple(of: 2) || index == 5 ? [start..<end] : [start..<end - 1, end - 1..<end]
            }
            expected.append(text.utf8.count..<text.utf8.count)
            var found: [Range<Int>] = []
            try Array(text.utf8).withUnsafeBufferPointer {
                try expression.forEachMatch(in: $0, EncodingBudget(textBytes: $0.count)) { found.append($0) }
            }
            #expect(found == expected, "round \(round)")
        }
    }

    @Test func aMatchFarAwayIsFound() throws {
        let expression = try RegularExpression("(?<=é)b(?=c)|x")
        let text = String(repeating: "é", count: 30_000) + "bc" + String(repeating: "b", count: 30_000) + "x"
        var found: [Range<Int>] = []
        try Array(text.utf8).withUnsafeBufferPointer {
            try expression.forEachMatch(in: $0, EncodingBudget(textBytes: $0.count)) { found.append($0) }
        }
        #expect(found == [60_000..<60_001, 90_002..<90_003])
    }

    /// The leftmost token first, and of those the longest, by looking at every place and every token.
    @Test func addedTokensAreThoseOfASlowSearch() throws {
        var state: UInt64 = 7
        func next(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % count
        }
        func word(_ most: Int) -> [UInt8] { (0...next(most)).map { _ in next(2) == 0 ? 0x61 : 0x62 } }
        for _ in 0..<300 {
            let contents = (0..<12).map { _ in word(6) }
            let matcher = AddedTokenMatcher(
                contents.enumerated().map { (token: AddedToken(id: $0.offset, content: "x"), content: $0.element) }
            )
            let text = word(40)
            var expected: [AddedTokenMatcher.Piece] = []
            var (index, done) = (0, 0)
            while index < text.count {
                let here = contents.indices.filter { text[index...].starts(with: contents[$0]) }
                guard let longest = here.map({ contents[$0].count }).max(),
                    let first = here.first(where: { contents[$0].count == longest })
                else {
                    index += 1
                    continue
                }
                if done < index { expected.append(.init(range: done..<index)) }
                index += longest
                expected.append(.init(range: index - longest..<index, id: Int32(first)))
                done = index
            }
            if done < text.count { expected.append(.init(range: done..<text.count)) }
            var found: [AddedTokenMatcher.Piece] = []
            try text.withUnsafeBufferPointer { buffer throws(TokenizerError) in
                let budget = EncodingBudget(textBytes: buffer.count)
                try matcher.forEachPiece(of: buffer, allowsSpecial: true, budget) { found.append($0) }
            }
            #expect(found == expected)
        }
    }

    @Test func addedTokensThatNearlyMatchEverywhereAreStopped() throws {
        let contents = (0..<50).map { [UInt8](repeating: 0x61, count: 20_000 + $0) + [0x62] }
        let matcher = AddedTokenMatcher(
            contents.enumerated().map { (token: AddedToken(id: $0.offset, content: "x"), content: $0.element) }
        )
        let text = [UInt8](repeating: 0x61, count: 1_000_000)
        let budget = EncodingBudget(textBytes: text.count, grownBytes: 1 << 30, seconds: 0.3)
        let error = #expect(throws: TokenizerError.self) {
            try text.withUnsafeBufferPointer { buffer throws(TokenizerError) in
                try matcher.forEachPiece(of: buffer, allowsSpecial: true, budget) { _ in }
            }
        }
        #expect(error?.code == .tooLarge)
    }

    @Test func aTextThatIsTooLongIsRefused() throws {
        let tokenizer = try Self.tokenizer([:])
        let error = #expect(throws: TokenizerError.self) {
            try tokenizer.encode(String(repeating: "a", count: Tokenizer.largestText + 1))
        }
        #expect(error?.code == .tooLarge && error?.message.contains("\(Tokenizer.largestText)") == true)
    }

    @Test func aDecoderThatGrowsTheTextIsRefused() throws {
        let tokenizer = try Self.tokenizer(["decoder": Self.repeated(Self.doubling, 60, "decoders")])
        let error = #expect(throws: TokenizerError.self) { try tokenizer.decode([0, 0, 0]) }
        #expect(error?.code == .tooLarge)
    }
}
