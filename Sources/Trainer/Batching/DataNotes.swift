public import BridgeCore
import Datasets
import JSONTree
import Synchronization

/// Warnings about the rows of a run: keys that are ignored, and answers without an end token.
///
/// Thread-safe: rows may be read on several threads.
public final class DataNotes: Sendable {
    private struct State {
        var unreadKeys: Set<String> = []
        /// Whether the chat template reads a key of messages.
        var isNamed: [String: Bool] = [:]
        var rowsWithoutEnd = 0
        var report: (@Sendable (String) -> Void)?
    }

    private let state = Mutex(State())
    private let processor: any ModelProcessor
    /// The maximum number of reported keys.
    private static let mostKeys = 1000

    /// Notes about rows for a model.
    ///
    /// - Parameter processor: The model's processor; keys in its chat template are read.
    public init(processor: any ModelProcessor) { self.processor = processor }

    /// Reports each note when it is first made.
    public func setReport(_ report: @escaping @Sendable (String) -> Void) { state.withLock { $0.report = report } }

    /// The ignored keys, in alphabetical order; those of messages have the prefix `messages[].`.
    public var unreadKeys: [String] { state.withLock { $0.unreadKeys.sorted() } }

    /// The number of samples with a supervised turn whose end is not supervised.
    public var rowsWithoutEnd: Int { state.withLock { $0.rowsWithoutEnd } }

    /// The notes as sentences.
    public var sentences: [String] {
        let keys = unreadKeys
        return (keys.isEmpty ? [] : [Self.sentence(keys)]) + (rowsWithoutEnd == 0 ? [] : [Self.noEnd])
    }

    private static func sentence(_ keys: [String]) -> String {
        let isOne = keys.count == 1
        // These names are valid; the template does not read them.
        let ofTemplate = keys.contains { $0.hasSuffix(".tool_calls") || $0 == "tools" }
        return
            "\(keys.joined(separator: ", ")) of the data \(isOne ? "is" : "are") ignored: neither the data format nor the "
            + "model's chat template has \(isOne ? "this key" : "these keys"); expected are messages with role and content"
            + (ofTemplate ? ", and tools only with a chat template that renders them" : "")
    }

    private static let noEnd =
        "the end of the assistant's turns is not supervised, so the model does not learn to stop; change the chat template to put an "
        + "end token after each answer, and inside {% generation %} if it marks answers"

    /// Checks the keys of a row.
    ///
    /// - Parameters:
    ///   - row: The keys of the row with their values.
    ///   - columns: Keys of the row that are not checked.
    func add(_ row: JSON, columns: [String] = []) {
        var keys = Set(columns.filter { !RowKeys.knownOfRow.contains($0) })
        for (key, value) in row.object ?? JSONObject() where !value.isNull && !RowKeys.knownOfRow.contains(key) {
            keys.insert(key)
        }
        let candidates = Self.keysForTheTemplate(of: row)
        let usesTools = row["tools"]?.nonNull != nil
        let (report, new) = state.withLock { state in
            for (key, names) in candidates.prefix(Self.mostKeys) {
                let isNamed = state.isNamed[key] ?? processor.chatTemplateMentions(names, usingTools: usesTools)
                if state.isNamed.count < Self.mostKeys { state.isNamed[key] = isNamed }
                if !isNamed { keys.insert(key) }
            }
            guard state.unreadKeys.count < Self.mostKeys else { return (state.report, Set<String>()) }
            let new = keys.subtracting(state.unreadKeys)
            state.unreadKeys.formUnion(new)
            return (state.report, new)
        }
        if !new.isEmpty { report?(Self.sentence(new.sorted())) }
    }

    /// The keys that only the chat template can read, each with its possible names in the template.
    private static func keysForTheTemplate(of row: JSON) -> [String: [String]] {
        func isFilled(_ value: JSON) -> Bool { !value.isNull && value != "" && value != [] }
        var keys: [String: [String]] = [:]
        if ConversationRow.toolKeys.contains(where: { row[$0].map(isFilled) ?? false }) { keys["tools"] = ["tools"] }
        for message in ConversationRow.keys.lazy.compactMap({ row[$0]?.array }).first ?? [] {
            for (key, value) in message.object ?? JSONObject() where isFilled(value) {
                if RowKeys.reasoning.contains(key) {
                    keys["messages[].\(key)"] = RowKeys.reasoning
                } else if ["tool_calls", "function_call"].contains(key) {
                    keys["messages[].\(key)"] = ["tool_calls"]
                } else if !RowKeys.knownOfMessage.contains(key) {
                    keys["messages[].\(key)"] = [key]
                }
            }
            let parts = message["content"]?.array ?? []
            if parts.contains(where: { ["thinking", "reasoning"].contains($0["type"]?.string) }) {
                keys["messages[].content[].thinking"] = ["thinking"]
            }
        }
        return keys
    }

    /// Counts a sample without a supervised end of a turn.
    func addRowWithoutEnd() {
        let report = state.withLock { state in
            state.rowsWithoutEnd += 1
            return state.rowsWithoutEnd == 1 ? state.report : nil
        }
        report?(Self.noEnd)
    }
}
