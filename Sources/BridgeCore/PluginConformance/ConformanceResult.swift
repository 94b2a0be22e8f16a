public import JSONTree

/// A violation of a rule.
public struct ConformanceFinding: Sendable, Equatable {
    /// The line of the plugin's table that it is about: `parameter table, line 5 (NAME)`; nil for none.
    public var line: String?
    /// What was found, what was expected and what to do, in one sentence.
    public var message: String

    init(_ message: String, line: String? = nil) {
        self.line = line
        self.message = message
    }

    /// The sentence, after the line of the table.
    public var sentence: String { line.map { "\($0): \(message)" } ?? message }
}

/// The result of one rule for one family.
public struct ConformanceResult: Sendable, Equatable {
    /// The outcome of a check.
    public enum Outcome: Sendable, Equatable {
        /// The rule is kept.
        case kept
        /// It is broken.
        case broken([ConformanceFinding])
        /// It was not checked, for the given reason.
        case skipped(String)
    }

    /// The family's name.
    public var family: String
    /// The rule.
    public var rule: ConformanceRule
    /// The outcome.
    public var outcome: Outcome

    /// The violations; empty for a rule that is kept or was skipped.
    public var findings: [ConformanceFinding] { if case .broken(let findings) = outcome { findings } else { [] } }

    /// The result as JSON: `family`, `rule`, `outcome`, and `findings` or `reason`.
    public var json: JSON {
        var json: JSON = ["family": .string(family), "rule": .string(rule.rawValue)]
        switch outcome {
        case .kept: json.set("kept", at: "outcome")
        case .skipped(let reason):
            json.set("skipped", at: "outcome")
            json.set(.string(reason), at: "reason")
        case .broken(let findings):
            json.set("broken", at: "outcome")
            let list = findings.map { finding -> JSON in
                ["line": finding.line.map { .string($0) } ?? .null, "message": .string(finding.message)]
            }
            json.set(.array(list), at: "findings")
        }
        return json
    }
}
