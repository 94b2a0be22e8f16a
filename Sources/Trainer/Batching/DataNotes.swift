public import BridgeCore
import Datasets
import JSONTree
import Synchronization
import Tokenizers

/// Warnings about the rows of a run: keys that are ignored, and answers without an end token.
///
/// Thread-safe: rows may be read on several threads.
public final class DataNotes: Sendable {
    private struct State {
        var unreadKeys: Set<String> = []
        /// Whether the rows are tokens.
        var isTokenized = false
        /// Whether the chat template reads a key of messages.
        var isNamed: [String: Bool] = [:]
        /// Marks of prompts that select nothing.
        var marksOfPrompts: Set<String> = []
        var omitsSystem = false
        var rowsWithoutEnd = 0
        /// Sentences of others.
        var more: [String] = []
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

    /// The keys, in alphabetical order, that mark messages as supervised which are not.
    public var marksOfPrompts: [String] { state.withLock { $0.marksOfPrompts.sorted() } }

    /// The number of samples with a supervised turn whose end is not supervised.
    public var rowsWithoutEnd: Int { state.withLock { $0.rowsWithoutEnd } }

    /// The notes as sentences.
    public var sentences: [String] {
        let (keys, marks) = (unreadKeys, marksOfPrompts)
        return (keys.isEmpty ? [] : [Self.sentence(keys, isTokenized: state.withLock(\.isTokenized))])
            + (marks.isEmpty ? [] : [Self.ofPrompts(marks)])
            + (state.withLock(\.omitsSystem) ? [Conversation.omittedSystem] : [])
            + (rowsWithoutEnd == 0 ? [] : [Self.noEnd])
            + state.withLock(\.more)
    }

    /// The notes, to be kept with prepared data.
    var json: JSON {
        [
            "unread_keys": .array(unreadKeys.map { .string($0) }),
            "marks_of_prompts": .array(marksOfPrompts.map { .string($0) }),
            "omits_system": .bool(state.withLock(\.omitsSystem)), "rows_without_end": JSON(rowsWithoutEnd),
            "is_tokenized": .bool(state.withLock(\.isTokenized)),
        ]
    }

    /// Adds the notes that were kept with prepared data.
    func add(kept json: JSON) {
        func keys(_ name: String) -> Set<String> { Set((json[name]?.array ?? []).compactMap(\.string)) }
        let isTokenized = json["is_tokenized"]?.bool ?? false
        if isTokenized { state.withLock { $0.isTokenized = true } }
        add(keys("unread_keys"), to: \.unreadKeys) { Self.sentence($0, isTokenized: isTokenized) }
        add(keys("marks_of_prompts"), to: \.marksOfPrompts, Self.ofPrompts)
        if json["omits_system"]?.bool == true { addOmittedSystem() }
        addRowsWithoutEnd(json["rows_without_end"]?.integer ?? 0)
    }

    /// Adds a sentence.
    func add(_ sentence: String) {
        let report = state.withLock { state in
            state.more.append(sentence)
            return state.report
        }
        report?(sentence)
    }

    private static func ofPrompts(_ keys: [String]) -> String {
        "\(keys.joined(separator: ", ")) of the data \(keys.count == 1 ? "marks" : "mark") messages as supervised whose role is "
            + "not in dataset.roles_to_train, by default the assistant alone; add the role, or set dataset.loss_mode=full to train all "
            + "messages"
    }

    private static func sentence(_ keys: [String], isTokenized: Bool) -> String {
        let isOne = keys.count == 1
        if isTokenized {
            return
                "\(keys.joined(separator: ", ")) of the data \(isOne ? "is" : "are") ignored: rows of tokens have no such "
                + "\(isOne ? "key" : "keys"); expected are input_ids, labels, images and a mask such as loss_mask"
        }
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
    ///   - trainedRoles: The roles whose messages are supervised; nil for all messages, whatever marks they have.
    ///   - ofPairs: Whether the row has two answers.
    func add(
        _ row: JSON,
        columns: [String] = [],
        trainedRoles: Set<String>? = ["assistant"],
        ofPairs: Bool = false
    ) {
        let unread = UnreadKeys(row: row, columns: columns, trainedRoles: trainedRoles ?? [])
        var keys = unread.keys
        if ofPairs { keys.subtract(RowKeys.preference.map(\.key)) }
        let usesTools = row["tools"]?.nonNull != nil
        state.withLock { state in
            for (key, names) in unread.ofTemplate.prefix(Self.mostKeys) {
                let isNamed = state.isNamed[key] ?? processor.chatTemplateMentions(names, usingTools: usesTools)
                if state.isNamed.count < Self.mostKeys { state.isNamed[key] = isNamed }
                if !isNamed { keys.insert(key) }
            }
        }
        add(keys, to: \.unreadKeys) { Self.sentence($0, isTokenized: false) }
        if trainedRoles != nil { add(unread.marksOfPrompts, to: \.marksOfPrompts, Self.ofPrompts) }
    }

    /// Notes keys of a row of tokens that nothing reads.
    func add(unreadOfTokens keys: Set<String>) {
        state.withLock { $0.isTokenized = true }
        add(keys, to: \.unreadKeys) { Self.sentence($0, isTokenized: true) }
    }

    private func add(
        _ keys: Set<String>,
        to set: any WritableKeyPath<State, Set<String>> & Sendable,
        _ sentence: ([String]) -> String
    ) {
        guard !keys.isEmpty else { return }
        let (report, new) = state.withLock { state in
            guard state[keyPath: set].count < Self.mostKeys else { return (state.report, Set<String>()) }
            let new = keys.subtracting(state[keyPath: set])
            state[keyPath: set].formUnion(new)
            return (state.report, new)
        }
        if !new.isEmpty { report?(sentence(new.sorted())) }
    }

    /// Notes a row whose system message is not in the rendered text.
    func addOmittedSystem() {
        let report = state.withLock { state in
            defer { state.omitsSystem = true }
            return state.omitsSystem ? nil : state.report
        }
        report?(Conversation.omittedSystem)
    }

    /// Counts a sample without a supervised end of a turn.
    func addRowWithoutEnd() { addRowsWithoutEnd(1) }

    private func addRowsWithoutEnd(_ count: Int) {
        guard (1...1 << 40).contains(count) else { return }
        let report = state.withLock { state in
            defer { state.rowsWithoutEnd += count }
            return state.rowsWithoutEnd == 0 ? state.report : nil
        }
        report?(Self.noEnd)
    }
}
