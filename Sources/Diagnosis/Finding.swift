public import JSONTree

/// What a check has found.
public struct Finding: Sendable, Equatable {
    /// How good it is.
    public enum Status: String, Sendable, Comparable, CaseIterable {
        /// Everything works.
        case ok
        /// Something is slow, or a part of the program cannot be used.
        case warning
        /// The program does not work.
        case failed

        /// Whether one is better than another.
        public static func < (one: Status, other: Status) -> Bool {
            allCases.firstIndex(of: one) ?? 0 < allCases.firstIndex(of: other) ?? 0
        }
    }

    /// How good it is.
    public var status: Status
    /// What was found.
    public var text: String
    /// What to do; nil when nothing has to be done, or the text of an error has it.
    public var advice: String?
    /// The same as values, for programs.
    public var facts: JSON

    /// A finding.
    public init(_ status: Status, _ text: String, advice: String? = nil, facts: JSON = [:]) {
        (self.status, self.text, self.advice, self.facts) = (status, text, advice, facts)
    }

    /// The text and what to do, in one line.
    public var sentence: String { advice.map { "\(text); \($0)" } ?? text }

    /// Makes a finding at most as good as a status, and adds what to do.
    mutating func lower(to status: Status, advice: String) {
        self.status = max(self.status, status)
        self.advice = self.advice.map { "\($0); \(advice)" } ?? advice
    }
}
