public import Testing

/// Checks that a run failed with one sentence that, together with the names below it, mentions all of `words`.
public func expect(
    _ outcome: BridgeProcess.Outcome,
    failsWith status: Int32,
    mentioning words: String...,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(outcome.signal == nil, "ended by a signal: \(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: sourceLocation)
    let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
    #expect(lines.count == 1, "expected one sentence, found: \(outcome.errors)", sourceLocation: sourceLocation)
    #expect(!outcome.errors.contains("BridgeError"), "\(outcome.errors)", sourceLocation: sourceLocation)
    for word in words {
        #expect(
            outcome.errors.contains(word),
            "\(outcome.errors) does not mention \(word)",
            sourceLocation: sourceLocation
        )
    }
}
