/// Merges that follow from the tokens, in formats that do not list them.
extension Vocabulary {
    /// The most bytes that are looked at to find all the ways to cut all tokens: seconds, and a thousand times what the
    /// largest vocabularies in use take.
    static let mostSplitBytes = 4e9

    /// Refuses tokens so long that looking at all the ways to cut them would take minutes.
    func checkSplits(of lengths: some Sequence<Int>) throws(TokenizerError) {
        var work = 0.0
        var longest = 0
        for length in lengths {
            work += Double(length) * Double(length)
            longest = max(longest, length)
        }
        guard work <= Self.mostSplitBytes else {
            throw TokenizerError(
                .tooLarge,
                "the squares of the lengths of the vocabulary's tokens add up to more than the "
                    + "\(Int(Self.mostSplitBytes)) that are allowed; the longest token has \(longest) bytes"
            )
        }
    }

    /// All ways to cut a token into two tokens.
    func splits(of token: [UInt8], atCharacters: Bool) -> [(left: Int32, right: Int32)] {
        token.withUnsafeBufferPointer { buffer in
            var result: [(left: Int32, right: Int32)] = []
            for cut in 1..<max(1, buffer.count) {
                if atCharacters, buffer[cut] & 0xC0 == 0x80 { continue }
                let left = id(of: UnsafeBufferPointer(rebasing: buffer[..<cut]))
                guard left >= 0 else { continue }
                let right = id(of: UnsafeBufferPointer(rebasing: buffer[cut...]))
                if right >= 0 { result.append((left, right)) }
            }
            return result
        }
    }
}

extension MergeTable {
    /// The most merges: sixteen times those of the largest vocabularies in use, which take some 256 MiB.
    static let mostMerges = 1 << 23

    /// Refuses a vocabulary with too many ways to cut its tokens.
    func checkCount(most: Int = mostMerges) throws(TokenizerError) {
        guard count <= most else {
            throw TokenizerError(
                .tooLarge,
                "the tokens of the vocabulary can be cut into two tokens in more than the \(most) ways that "
                    + "are allowed"
            )
        }
    }
}
