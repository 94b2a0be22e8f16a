import BridgeSupport
import JSONTree

extension Recipe {
    /// A change of a setting.
    public struct Change: Sendable, Equatable {
        /// The user's spelling of the setting: its key, an alias, or an option of the command line.
        public let spelling: String
        /// The key or one of its aliases.
        public let key: String
        /// The text of the value.
        public let text: String

        /// A change by an option of the command line.
        public init(option: String, key: String, text: String) {
            (spelling, self.key, self.text) = (option, key, text)
        }

        /// A change such as `train.global_batch_size=64`; nil for another text.
        public init?(_ argument: String) {
            guard let mark = argument.firstIndex(of: "="), mark > argument.startIndex else { return nil }
            // Hydra writes a plus before a key that is new to it.
            key = String(argument[..<mark].drop { $0 == "+" })
            spelling = key
            text = String(argument[argument.index(after: mark)...])
        }

        /// The key of the table, for a key or an alias.
        public var fieldKey: String { RecipeTable.field(key)?.key ?? key }
    }

    /// A given setting that cannot be used or has no effect.
    public struct Refusal: Sendable, Equatable {
        /// The setting's key; empty if there is none.
        public let key: String
        /// The problem, in one sentence.
        public let problem: String
    }

    /// The maximum number of listed problems.
    static let mostProblems = 100

    /// Changes settings.
    ///
    /// - Parameters:
    ///   - arguments: Lines such as `train.global_batch_size=64`; the last one for a key counts.
    ///   - options: Settings that options of the command line change.
    /// - Throws: `BridgeError` with code `badArgument` and all problems.
    public mutating func apply(_ arguments: [String], options: [Change] = []) throws {
        let problems = applyUsable(arguments, options: options).map(\.problem)
        guard problems.isEmpty else {
            if problems.count == 1 { throw BridgeError(.badArgument, problems[0]) }
            throw BridgeError(.badArgument, "\(problems.count) settings cannot be used", names: problems)
        }
    }

    /// Changes the settings whose values are valid.
    ///
    /// - Parameters:
    ///   - arguments: Lines such as `train.global_batch_size=64`; the last one for a key counts.
    ///   - options: Settings that options of the command line change.
    /// - Returns: The settings that cannot be used, for ``RecipeCheck``.
    public mutating func applyUsable(_ arguments: [String], options: [Change] = []) -> [Refusal] {
        var refusals: [Refusal] = []
        var applied: [String: (spelling: String, value: JSON)] = [:]
        for (change, argument) in options.map({ ($0, $0.spelling) }) + arguments.map({ (Change($0), $0) }) {
            guard refusals.count < Self.mostProblems else {
                refusals.append(Refusal(key: "", problem: "and more"))
                break
            }
            guard let change else {
                let found = RecipeField.shortened(argument)
                refusals.append(Refusal(key: "", problem: "'\(found)' is not a setting, expected section.key=value"))
                continue
            }
            guard let field = RecipeTable.field(change.key) else {
                if let value = try? RecipeText.value(of: change.text), RecipeForeignKeys.isNeutral(change.key, value) {
                    continue
                }
                refusals.append(Refusal(key: change.key, problem: RecipeTable.refusal(of: change.key)))
                continue
            }
            if let problem = field.set(text: change.text, in: &self) {
                refusals.append(Refusal(key: field.key, problem: problem))
                continue
            }
            let given = (spelling: change.spelling, value: field.value(of: self))
            if let problem = Self.conflict(applied[field.key], given) {
                refusals.append(Refusal(key: field.key, problem: problem))
            }
            applied[field.key] = given
        }
        return refusals
    }

    /// The settings that are given more than once with different values, of which the last counts, as in Hydra.
    ///
    /// - Parameter arguments: Lines such as `train.global_batch_size=64`.
    /// - Returns: A sentence for each.
    public static func repetitions(in arguments: [String]) -> [String] {
        var given: [String: [String]] = [:]
        var order: [String] = []
        for change in arguments.compactMap({ Change($0) }) {
            if given.updateValue((given[change.spelling] ?? []) + [change.text], forKey: change.spelling) == nil {
                order.append(change.spelling)
            }
        }
        return order.compactMap { key in
            guard let values = given[key], let last = values.last, Set(values).count > 1 else { return nil }
            let others = values.dropLast().map(RecipeField.shortened).joined(separator: ", ")
            return "\(key) is given \(values.count) times; \(RecipeField.shortened(last)) is used, not \(others)"
        }
    }

    /// The problem of two spellings of one setting with different values; nil if the values agree.
    static func conflict(
        _ one: (spelling: String, value: JSON)?,
        _ other: (spelling: String, value: JSON)
    ) -> String? {
        guard let one, one.spelling != other.spelling, one.value != other.value else { return nil }
        func text(_ value: JSON) -> String { value.string ?? RecipeField.shortened(RecipeField.text(value)) }
        return
            "\(one.spelling) is \(text(one.value)) and \(other.spelling) is \(text(other.value)), but they are the same "
            + "setting; give one of them"
    }
}
