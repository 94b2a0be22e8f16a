import Synchronization

/// The supervised spans of the rows of a source, found once and kept for later epochs.
///
/// Spans are found by renderings of parts of a conversation, which take much longer than the rendering of the whole. They
/// depend on the row alone; a row that is another one by then, as of a file that was edited, has another text.
final class SpanCache: Sendable {
    /// The spans of a row, and whether they include the end of each supervised turn; nil if unknown.
    typealias Spans = (spans: [Range<Int>], endsTurns: Bool?)

    private struct Entry {
        let spans: Spans
        let text: Int
    }

    private let entries = Mutex<[Int: Entry]>([:])

    /// The most rows that are kept, about 100 bytes each.
    private static let most = 1 << 18

    /// The spans of a row.
    ///
    /// - Parameters:
    ///   - row: The row.
    ///   - text: Its rendered text.
    ///   - find: Finds the spans.
    /// - Returns: The spans.
    /// - Throws: What `find` throws.
    func spans(ofRow row: Int, text: String, _ find: () throws -> Spans) rethrows -> Spans {
        let hash = text.hashValue
        if let entry = entries.withLock({ $0[row] }), entry.text == hash { return entry.spans }
        let spans = try find()
        entries.withLock { entries in
            if entries.count < Self.most || entries[row] != nil { entries[row] = Entry(spans: spans, text: hash) }
        }
        return spans
    }
}
