import CPCRE2

/// A compiled pattern of PCRE2, with its just-in-time code where the machine has it.
///
/// A class because it owns the compiled code; nothing in it changes after `init`, so threads may share it.
final class RegularExpression: @unchecked Sendable {
    /// More steps than any sane pattern takes on any text; a pattern that backtracks without end stops here.
    private static let stepLimit: UInt32 = 200_000_000

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
        let options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C
        let bytes = Array(source.utf8)
        guard let code = pcre2_compile_8(bytes, bytes.count, options, &status, &offset, nil) else {
            throw TokenizerError(
                .regularExpression,
                "the regular expression '\(original.prefix(200))' is wrong at character \(offset): \(describe(status))"
            )
        }
        // Without just-in-time code the interpreter runs; the result is the same.
        pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE)
        return code
    }

    private static func describe(_ status: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let length = pcre2_get_error_message_8(status, &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer[..<Int(length)], as: UTF8.self) : "error \(status)"
    }

    /// Calls `body` with the byte range of every match, from left to right.
    ///
    /// The text is valid UTF-8.
    func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>,
        _ body: (Range<Int>) -> Void
    ) throws(TokenizerError) {
        guard let start = text.baseAddress, text.count > 0 else { return }
        let code = widened.flatMap { UnicodeAdditions.occur(in: text) ? $0 : nil } ?? plain
        guard let data = pcre2_match_data_create_8(1, nil), let context = pcre2_match_context_create_8(nil) else {
            throw TokenizerError(.regularExpression, "the regular expression could not start: out of memory")
        }
        var stack: OpaquePointer?
        defer {
            pcre2_match_data_free_8(data)
            pcre2_match_context_free_8(context)
            pcre2_jit_stack_free_8(stack)
        }
        pcre2_set_match_limit_8(context, Self.stepLimit)
        var position = 0
        while position <= text.count {
            var status = pcre2_match_8(code, start, text.count, position, PCRE2_NO_UTF_CHECK, data, context)
            if status == PCRE2_ERROR_JIT_STACKLIMIT, stack == nil {
                stack = pcre2_jit_stack_create_8(1 << 16, 1 << 26, nil)
                pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
                status = pcre2_match_8(code, start, text.count, position, PCRE2_NO_UTF_CHECK, data, context)
            }
            if status == PCRE2_ERROR_NOMATCH { return }
            guard status >= 0, let ends = pcre2_get_ovector_pointer_8(data) else {
                throw TokenizerError(
                    .regularExpression,
                    "the regular expression '\(pattern.prefix(200))' gave up on this text: \(Self.describe(status))"
                )
            }
            let match = ends[0]..<max(ends[0], ends[1])
            body(match)
            if match.isEmpty {
                // Past one character, so that the search moves.
                position = match.upperBound + 1
                while position < text.count, text[position] & 0xC0 == 0x80 { position += 1 }
            } else {
                position = match.upperBound
            }
        }
    }
}
