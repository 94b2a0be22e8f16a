public import JSONTree

/// The support of one key of a settings file.
///
/// Every key that the reference's class can hold has one of these; a key without one is unknown, and reported.
public enum SettingVerdict: Sendable, Equatable {
    /// The value is read and used as the reference uses it.
    case honoured
    /// No value changes a result, for the given reason.
    case noEffect(String)
    /// Only the given values are accepted, because they mean what the program computes; any other is an error.
    case only([JSON], note: String)
    /// The value changes nothing outside of training, which accepts only the given values.
    case onlyInTraining([JSON], note: String)
    /// Not decided yet, in the draft of a family: models with the key are converted and not run.
    case undecided

    /// The verdict in one word, for tables.
    public var word: String {
        switch self {
        case .honoured: "honoured"
        case .noEffect: "no effect"
        case .only: "refused unless"
        case .onlyInTraining: "refused in training unless"
        case .undecided: "undecided"
        }
    }

    /// Why, or which values are accepted; empty where there is nothing to add.
    public var detail: String {
        switch self {
        case .honoured: ""
        case .undecided: "models that have it are converted and not run"
        case .noEffect(let reason): reason
        case .only(let values, let note), .onlyInTraining(let values, let note):
            values.map(Setting.text).joined(separator: " or ") + (note.isEmpty ? "" : "; \(note)")
        }
    }
}

/// One key of a settings file and its verdict.
public struct Setting: Sendable, Equatable {
    /// The key, with the keys of the objects around it before it, joined by dots.
    public let key: String
    /// Its verdict.
    public let verdict: SettingVerdict

    /// A key and its verdict.
    public init(_ key: String, _ verdict: SettingVerdict) {
        self.key = key
        self.verdict = verdict
    }

    /// Why a value cannot be accepted; nil when it can.
    func problem(with found: JSON, in name: String) -> String? {
        guard case .only(let values, let note) = verdict, !values.contains(where: { Self.isSame($0, found) }) else {
            return nil
        }
        let supported = values.map(Self.text).joined(separator: " or ")
        return "\(name): \(key) is \(Self.text(found)); supported: \(supported)" + (note.isEmpty ? "" : " (\(note))")
    }

    /// Whether two values mean the same: 1 and 1.0 do.
    static func isSame(_ one: JSON, _ other: JSON) -> Bool {
        if one == other { return true }
        if let a = one.double, let b = other.double { return a == b }
        return false
    }

    package static func text(_ json: JSON) -> String { json.compactText }
}
