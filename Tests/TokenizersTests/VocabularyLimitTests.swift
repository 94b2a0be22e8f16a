import Foundation
import TestSupport
import Testing

@testable import Tokenizers

/// Vocabularies that are small files and take hours or gigabytes to read end with an error that names file and rule.
@Suite struct VocabularyLimitTests {
    /// A tekken.json of some tokens behind all single bytes.
    private func tekken(_ tokens: [Data], specialCount: Int = 3) throws -> String {
        let all = (0...255).map { Data([UInt8($0)]) } + tokens
        let entries = all.enumerated().map { "{\"rank\": \($0), \"token_bytes\": \"\($1.base64EncodedString())\"}" }
        let config = """
            {"pattern": "a", "default_num_special_tokens": \(specialCount), \
            "default_vocab_size": \(specialCount + all.count)}
            """
        return "{\"config\": \(config), \"vocab\": [\(entries.joined(separator: ","))], \"special_tokens\": []}"
    }

    /// Cutting a token of n bytes everywhere looks at n^2 / 2 bytes.
    @Test func aLongTokenOfATekkenFileIsRefused() throws {
        let long = try tekken([Data(repeating: 0x61, count: 70_000)])
        let error = try #require(try TokenizerFileTests.failure(["tekken.json": long]))
        #expect(error.code == .tooLarge)
        #expect(error.message.contains("tekken.json") && error.message.contains("4000000000"), "\(error.message)")
        #expect(error.message.contains("70000 bytes"), "\(error.message)")
    }

    @Test func longTokensAreCountedTogether() throws {
        let vocabulary = Vocabulary(capacity: 1)
        try vocabulary.checkSplits(of: Array(repeating: 20_000, count: 10))
        #expect(throws: TokenizerError.self) { try vocabulary.checkSplits(of: Array(repeating: 20_000, count: 11)) }
        // The largest vocabulary in use, with a token of 512 spaces.
        try vocabulary.checkSplits(of: Array(repeating: 8, count: 1 << 18) + [512])
    }

    @Test func manySpecialTokensWithoutNamesAreRefused() throws {
        let error = try #require(try TokenizerFileTests.failure(["tekken.json": tekken([], specialCount: 1 << 23)]))
        #expect(error.code == .tooLarge)
        #expect(error.message.contains("tekken.json") && error.message.contains("default_num_special_tokens"))
        #expect(error.message.contains("at most 65536"), "\(error.message)")
        #expect(try TokenizerFileTests.failure(["tekken.json": tekken([], specialCount: 1000)]) == nil)
    }

    @Test func theWaysToCutTokensAreCounted() throws {
        var merges = MergeTable(capacity: 4)
        for left in 0..<100 { merges.insert(Int32(left), 7, rank: 0, result: 200) }
        try merges.checkCount(most: 100)
        let error = #expect(throws: TokenizerError.self) { try merges.checkCount(most: 99) }
        #expect(error?.code == .tooLarge && error?.message.contains("99") == true)
        #expect(MergeTable.mostMerges == 8_388_608)
    }

    /// Strings of 16 bytes whose hashes are all the same with one seed: the first word is any, and the second one makes a
    /// factor of the product zero.
    private func colliding(_ count: Int, seed: UInt64) -> [[UInt8]] {
        (0..<count).map { index in
            let first = UInt64(index) &* 0x0123_4567_89ab_cdef
            let state = ByteHash.mix(seed ^ 16 &* 0x9E37_79B9_7F4A_7C15 ^ first)
            return [first, state ^ 0xA076_1D64_78BD_642F].flatMap { word in
                withUnsafeBytes(of: word.littleEndian, Array.init)
            }
        }
    }

    /// A table of n strings that collide takes n^2 / 2 comparisons.
    @Test func stringsThatCollideWithOneSeedDoNotWithAnother() {
        let strings = colliding(2000, seed: 0)
        func hashes(_ seed: UInt64) -> Set<UInt64> {
            Set(strings.map { $0.withUnsafeBufferPointer { ByteHash.hash($0, seed: seed) } })
        }
        #expect(hashes(0).count == 1)
        for _ in 0..<20 { #expect(hashes(ByteHash.newSeed()).count == 2000) }
        #expect(WordCache().seed != WordCache().seed)
    }

    @Test func seedsChangeNoTokens() throws {
        let strings = colliding(500, seed: 0)
        var (one, other) = (Vocabulary(capacity: 8), Vocabulary(capacity: 8))
        for (id, string) in strings.enumerated() {
            one.insert(string, id: id)
            other.insert(string, id: id)
        }
        for (id, string) in strings.enumerated() { #expect(one.id(of: string) == id && other.id(of: string) == id) }
    }
}
