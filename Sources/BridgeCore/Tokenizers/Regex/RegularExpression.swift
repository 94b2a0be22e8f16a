import CPCRE2

/// A compiled pattern of PCRE2, with its just-in-time code where the machine has it.
///
/// A class because it owns the compiled code; nothing in it changes after `init`, so threads may share it.
final class RegularExpression: @unchecked Sendable {
    /// The window of an ordinary match; longer matches use the interpreter.
    private static let window = 4096
    /// The number of positions that a search tries before it checks the time.
    private static let searchLength = 128
    /// The most steps of an ordinary match; with the two above a call takes less than a second, whatever the pattern.
    private static let fewSteps: UInt32 = 2000
    /// More steps than any reasonable pattern needs on any text; a pattern that backtracks without end is stopped here.
    private static let stepLimit: UInt32 = 100_000_000
    /// The most memory for backtracking, in KiB.
    private static let heapLimit: UInt32 = 256 << 10

    let pattern: String
    private let plain: OpaquePointer
    private let widened: OpaquePointer?

    /// Compiles a pattern in the syntax of Python's tokenizers.
    init(_ pattern: String) throws(TokenizerError) {
        self.pattern = pattern
        let plainSource = Self.translated(pattern, widened: false)
        let widenedSource = Self.translated(pattern, widened: true)
        plain = try Self.compile(plainSource, original: pattern)
        do {
            widened = widenedSource == plainSource ? nil : try Self.compile(widenedSource, original: pattern)
        } catch {
            pcre2_code_free_8(plain)
            throw error
        }
    }

    deinit {
        pcre2_code_free_8(plain)
        pcre2_code_free_8(widened)
    }

    private static func compile(_ source: String, original: String) throws(TokenizerError) -> OpaquePointer {
        var status: Int32 = 0
        var offset = 0
        // Oniguruma's Ruby syntax: "^" and "$" match at every line.
        let options =
            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT
        let bytes = Array(source.utf8)
        guard let code = pcre2_compile_8(bytes, bytes.count, options, &status, &offset, nil) else {
            throw TokenizerError(
                .regularExpression,
                "the regular expression '\(original.prefix(200))' is wrong at character \(offset): \(describe(status))"
            )
        }
        // Without just-in-time code the interpreter runs; the result is the same.
        pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD)
        return code
    }

    private static func describe(_ status: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(status, &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer[..<Int(length)], as: UTF8.self) : "error \(status)"
    }

    /// Calls `body` with the byte range of every match, from left to right.
    ///
    /// The text is valid UTF-8. A pattern may take quadratic time or more in the text's length, and just-in-time code
    /// cannot be stopped. So it sees a window of the text and a few starting positions; a match that touches the
    /// window's end, or takes many steps, is repeated by the interpreter, whose steps are counted. The result is the
    /// same.
    func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>,
        _ budget: EncodingBudget,
        _ body: (Range<Int>) -> Void
    ) throws(TokenizerError) {
        guard text.count > 0 else { return }
        var matcher = try Matcher(self, text, budget)
        defer { matcher.free() }
        var position = 0
        while position <= text.count {
            try budget.tick()
            guard let match = try matcher.next(from: position) else { return }
            body(match)
            // Past one character after an empty match, so that the search advances.
            position = match.isEmpty ? matcher.character(after: match.upperBound) : match.upperBound
        }
    }

    /// One pass over a text.
    private struct Matcher {
        private let expression: RegularExpression
        private let code: OpaquePointer
        private let text: UnsafeBufferPointer<UInt8>
        private let budget: EncodingBudget
        private let data: OpaquePointer
        private let context: OpaquePointer
        private var stack: OpaquePointer?

        init(
            _ expression: RegularExpression,
            _ text: UnsafeBufferPointer<UInt8>,
            _ budget: EncodingBudget
        ) throws(TokenizerError) {
            (self.expression, self.text, self.budget) = (expression, text, budget)
            code = expression.widened.flatMap { UnicodeAdditions.occur(in: text) ? $0 : nil } ?? expression.plain
            let created = (pcre2_match_data_create_8(1, nil), pcre2_match_context_create_8(nil))
            guard let data = created.0, let context = created.1 else {
                pcre2_match_data_free_8(created.0)
                pcre2_match_context_free_8(created.1)
                throw TokenizerError(.regularExpression, "the regular expression could not start: out of memory")
            }
            (self.data, self.context) = (data, context)
            pcre2_set_heap_limit_8(context, RegularExpression.heapLimit)
        }

        func free() {
            pcre2_match_data_free_8(data)
            pcre2_match_context_free_8(context)
            pcre2_jit_stack_free_8(stack)
        }

        /// The start of the character after the one at a position.
        func character(after position: Int) -> Int {
            var next = position + 1
            while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
            return next
        }

        private func boundary(from position: Int) -> Int {
            position >= text.count ? text.count : character(after: position - 1)
        }

        /// The first match that starts at or after a position.
        mutating func next(from start: Int) throws(TokenizerError) -> Range<Int>? {
            var position = start
            while position <= text.count {
                let end = boundary(from: position + RegularExpression.window)
                let last = position + RegularExpression.searchLength
                let isWhole = end == text.count
                pcre2_set_match_limit_8(context, RegularExpression.fewSteps)
                let status = match(from: position, to: end, lastStart: last, isWhole ? 0 : PCRE2_PARTIAL_HARD)
                switch status {
                case 0...: return try found()
                case PCRE2_ERROR_NOMATCH:
                    if isWhole, last >= text.count { return nil }
                    try budget.tick()
                    position = boundary(from: last + 1)
                case PCRE2_ERROR_PARTIAL, PCRE2_ERROR_MATCHLIMIT, PCRE2_ERROR_HEAPLIMIT, PCRE2_ERROR_JIT_STACKLIMIT:
                    // Where a match begins that goes beyond the window; before it there is none.
                    if status == PCRE2_ERROR_PARTIAL { position = max(position, partialStart) }
                    if let match = try counted(at: position) { return match }
                    position = character(after: position)
                default: throw failure(status)
                }
            }
            return nil
        }

        /// A match that begins at one position, by the interpreter.
        private func counted(at position: Int) throws(TokenizerError) -> Range<Int>? {
            try budget.check()
            pcre2_set_match_limit_8(context, RegularExpression.stepLimit)
            let options = PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT
            pcre2_set_offset_limit_8(context, position)
            let status = pcre2_match_8(code, text.baseAddress, text.count, position, options, data, context)
            try budget.check()
            if status == PCRE2_ERROR_NOMATCH { return nil }
            guard status >= 0 else { throw failure(status) }
            return try found()
        }

        private mutating func match(from position: Int, to end: Int, lastStart: Int, _ option: UInt32) -> Int32 {
            pcre2_set_offset_limit_8(context, lastStart)
            let options = PCRE2_NO_UTF_CHECK | option
            let status = pcre2_match_8(code, text.baseAddress, end, position, options, data, context)
            guard status == PCRE2_ERROR_JIT_STACKLIMIT, stack == nil else { return status }
            stack = pcre2_jit_stack_create_8(1 << 16, 1 << 26, nil)
            pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
            return pcre2_match_8(code, text.baseAddress, end, position, options, data, context)
        }

        private var partialStart: Int { pcre2_get_ovector_pointer_8(data).map { $0[0] } ?? 0 }

        private func found() throws(TokenizerError) -> Range<Int> {
            guard let ends = pcre2_get_ovector_pointer_8(data) else { throw failure(PCRE2_ERROR_INTERNAL) }
            return ends[0]..<max(ends[0], ends[1])
        }

        private func failure(_ status: Int32) -> TokenizerError {
            TokenizerError(
                .regularExpression,
                "the regular expression '\(expression.pattern.prefix(200))' gave up on this text: "
                    + RegularExpression.describe(status)
            )
        }
    }
}
