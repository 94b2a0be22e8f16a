public import JSONTree
public import ModelSchema

/// One setting of a recipe: its key, its meaning and the property of its value.
public struct RecipeField: Sendable {
    /// The key in Megatron Bridge's spelling, such as `train.global_batch_size`.
    public var key: String
    /// The meaning, in one sentence.
    public var meaning: String
    /// The expected kind of value, for messages: "a whole number".
    public var expectation: String
    /// Other keys of the same setting.
    public var aliases: [String]

    /// The value of a text from the command line; nil for a text of the wrong kind.
    private let read: @Sendable (_ words: String) -> JSON?
    private let get: @Sendable (Recipe) -> JSON
    private let put: @Sendable (inout Recipe, JSON) -> Bool

    /// A setting.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - path: The property of the value.
    ///   - meaning: The meaning, in one sentence.
    ///   - aliases: Other keys of the same setting.
    public init<Value: ConfigurationValue>(
        _ key: String,
        _ path: any WritableKeyPath<Recipe, Value> & Sendable,
        _ meaning: String,
        aliases: [String] = []
    ) {
        self.key = key
        self.meaning = meaning
        self.aliases = aliases
        expectation = Value.expectation
        read =
            switch Value.self {
            // "1e3" and "true" are valid names of directories; only spellings of null are not.
            case is String.Type:
                { ["null", "None", "~", ""].contains($0) ? .null : .string(RecipeText.unquoted($0)) }
            case is [String].Type: RecipeText.words
            default: { try? RecipeText.value(of: $0) }
            }
        get = { $0[keyPath: path].json }
        put = { recipe, json in
            // An unset string is empty here and null in the files of Megatron Bridge.
            if json.isNull, let empty = "" as? Value {
                recipe[keyPath: path] = empty
                return true
            }
            guard let value = Value(json: json) else { return false }
            recipe[keyPath: path] = value
            return true
        }
    }

    /// The value of a recipe.
    public func value(of recipe: Recipe) -> JSON { get(recipe) }

    /// Sets the value.
    ///
    /// - Returns: A sentence about a value of the wrong kind; nil when it is set.
    public func set(_ json: JSON, in recipe: inout Recipe) -> String? {
        if put(&recipe, json) { return nil }
        let found =
            json.string.map { "'\(RecipeField.shortened($0))'" } ?? RecipeField.shortened(RecipeField.text(json))
        return "\(key) is \(found), expected \(expectation)"
    }

    /// Sets the value from a text of the command line.
    ///
    /// - Returns: A sentence about a value of the wrong kind; nil when it is set.
    public func set(text: String, in recipe: inout Recipe) -> String? {
        guard let json = read(text), put(&recipe, json) else { return set(.string(text), in: &recipe) }
        return nil
    }

    static func text(_ json: JSON) -> String { json.compactText }

    /// A value for a message, truncated.
    package static func shortened(_ text: String) -> String { text.count > 60 ? text.prefix(57) + "..." : text }
}

extension ConfigurationValue where Self: RawRepresentable & CaseIterable, RawValue == String {
    /// The names that are understood.
    public static var expectation: String {
        let names = allCases.map(\.rawValue)
        return names.dropLast().joined(separator: ", ") + (names.count > 1 ? " or " : "") + (names.last ?? "")
    }
    /// The case of a name.
    public init?(json: JSON) {
        guard let name = json.string, let value = Self(rawValue: name) else { return nil }
        self = value
    }
    /// The name.
    public var json: JSON { .string(rawValue) }
}

extension Recipe.MixedPrecision: ConfigurationValue {}
extension Recipe.OptimizerSection.Kind: ConfigurationValue {}
extension Recipe.SchedulerSection.Style: ConfigurationValue {}
extension Recipe.WSDDecay: ConfigurationValue {}
extension Recipe.BestMetric: ConfigurationValue {}
extension Recipe.WeightDecayStyle: ConfigurationValue {}
extension Recipe.DatasetSection.Kind: ConfigurationValue {}
extension Recipe.DatasetSection.Blend: ConfigurationValue {}
extension Recipe.DatasetSection.ExcessLength: ConfigurationValue {}
extension Recipe.DatasetSection.Packing: ConfigurationValue {}
extension Recipe.PreferenceSection.LossType: ConfigurationValue {}
extension Recipe.PEFTSection.Initialization: ConfigurationValue {}
extension Recipe.LossMode: ConfigurationValue {}
extension Recipe.CheckpointSection.Container: ConfigurationValue {}
extension Recipe.LoggerSection.LineFormat: ConfigurationValue {}

extension Recipe.Recomputation: ConfigurationValue {
    /// The case of a name; `null` is `none`, as Megatron writes it.
    public init?(json: JSON) {
        guard let value = Self(rawValue: json.isNull ? "none" : json.string ?? "") else { return nil }
        self = value
    }
}

extension Recipe.PEFTSection.Scheme: ConfigurationValue {
    /// The case of a name; `null` is `none`.
    public init?(json: JSON) {
        guard let value = Self(rawValue: json.isNull ? "none" : json.string ?? "") else { return nil }
        self = value
    }
}

extension UInt64: ConfigurationValue {
    /// "a whole number that is not negative".
    public static var expectation: String { "a whole number that is not negative" }
    /// The integer of a JSON number.
    public init?(json: JSON) {
        guard case .number(let number) = json, let value = UInt64(number.text) ?? UInt64(exactly: number.double) else {
            return nil
        }
        self = value
    }
    /// A JSON number.
    public var json: JSON { .number(JSONNumber(text: String(self))) }
}
