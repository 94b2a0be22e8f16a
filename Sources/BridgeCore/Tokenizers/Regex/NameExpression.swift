/// A regular expression of Python's `re` that is matched against whole names, with a bound on its steps.
package struct NameExpression: Sendable {
    private let expression: RegularExpression

    /// Compiles an expression.
    ///
    /// - Throws: `TokenizerError` for one that is wrong.
    package init(_ pattern: String) throws(TokenizerError) {
        // Apart first, so that a parenthesis too many in the pattern cannot close the group below.
        _ = try RegularExpression(pattern)
        expression = try RegularExpression("\\A(?:\(pattern))\\z")
    }

    /// Whether all of a name fits, as with `re.fullmatch`.
    ///
    /// - Throws: `TokenizerError` when that takes too many steps.
    package func matches(_ name: String) throws(TokenizerError) -> Bool {
        let bytes = Array(name.utf8)
        var isFound = false
        var failure: TokenizerError?
        bytes.withUnsafeBufferPointer { buffer in
            do throws(TokenizerError) {
                try expression.forEachMatch(in: buffer, EncodingBudget(textBytes: buffer.count)) { _ in isFound = true }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return isFound
    }
}
