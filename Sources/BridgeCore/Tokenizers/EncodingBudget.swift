import Glibc

/// The limit of memory and time for encoding or decoding one text: a tokenizer's file is untrusted, and few bytes of it
/// can require any amount of both.
///
/// Only the thread that works on the text uses it.
final class EncodingBudget: @unchecked Sendable {
    /// The most bytes of text that are encoded at once; what a tokenizer makes of more does not fit into a gigabyte.
    static let textBytes = 16 << 20
    /// The most steps of a normalizer, a pre-tokenizer or a decoder.
    static let mostSteps = 256
    /// The most tokens that are put around a text.
    static let mostSurroundingTokens = 4096
    /// The most bytes that tokens are decoded to at once.
    static let decodedBytes = 128 << 20

    /// The bytes that the text may still become.
    private(set) var bytesLeft: Int
    private let textBytes: Int
    private let seconds: Double
    private var start: Double?
    private var ticks = 0

    /// A budget for a text of this many bytes: sixteen times as much text, of which no character of any Unicode form
    /// takes more than eleven, and several times the seconds of an ordinary tokenizer.
    convenience init(textBytes: Int) {
        self.init(
            textBytes: textBytes,
            grownBytes: min(textBytes * 16 + 1 << 20, Self.textBytes * 3 / 2),
            seconds: 5 + Double(textBytes) * 1e-6
        )
    }

    init(textBytes: Int, grownBytes: Int, seconds: Double) {
        self.textBytes = textBytes
        bytesLeft = grownBytes
        self.seconds = seconds
    }

    /// Subtracts a text from the budget.
    func take(_ count: Int) throws(TokenizerError) {
        bytesLeft -= count
        guard bytesLeft >= 0 else { throw tooLong }
    }

    /// The error when a text grows beyond the remaining bytes.
    var tooLong: TokenizerError {
        TokenizerError(
            .tooLarge,
            "the tokenizer makes more of a text of \(textBytes) bytes than the \(Self.textBytes * 3 / 2) bytes, or 16 times "
                + "its size, that are allowed; look at the normalizer and pre-tokenizer of its file, or split the text"
        )
    }

    /// Accounts for some work of about a microsecond at most.
    @inline(__always)
    func tick(_ count: Int = 1) throws(TokenizerError) {
        ticks += count
        if ticks >= 1024 { try check() }
    }

    /// Throws when the time is up.
    ///
    /// Counted is the thread's own time, so that a machine that is busy otherwise changes nothing.
    func check() throws(TokenizerError) {
        ticks = 0
        var now = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        let time = Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
        guard let start else {
            start = time
            return
        }
        guard time - start <= seconds else {
            throw TokenizerError(
                .tooLarge,
                "the tokenizer takes more than \(Int(seconds.rounded(.up))) seconds for a text of \(textBytes) bytes; look "
                    + "at the expressions and the added tokens of its file, or split the text"
            )
        }
    }
}
