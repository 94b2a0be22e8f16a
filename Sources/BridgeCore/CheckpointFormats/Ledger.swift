public import JSONTree
package import ModelSchema
public import TensorRuntime

/// The result for every tensor of the source and every parameter of the model, each counted once.
public struct Ledger: Sendable, Equatable {
    /// A tensor that is ignored, and the rule for it.
    public struct Ignored: Sendable, Equatable {
        /// The tensor.
        public var name: String
        /// The reason why the model does not need it.
        public var reason: String

        package init(name: String, reason: String) {
            self.name = name
            self.reason = reason
        }
    }

    /// Tensors that became part of a parameter.
    public var mapped: [String] = []
    /// Scale factors that were consumed by the tensors that they belong to.
    public var dequantised: [String] = []
    /// Parameters that share the values of another: the name of that one by the name of this one.
    public var shared: [String: String] = [:]
    /// Tensors that became part of a parameter of a wider type, with the type that they had.
    public var widened: [String: ElementType] = [:]
    /// Tensors that are ignored by a rule.
    public var ignored: [Ignored] = []
    /// Parameters and tensors that no rule covers and that the user allowed.
    public var allowed: [String] = []
    /// The patterns of the user that matched something that is missing, left over or ignored.
    package private(set) var usedPatterns: Set<NameGlob> = []

    /// A ledger without entries.
    public init() {}

    /// Whether one of the user's patterns matches one of the names of a tensor that is not accounted for.
    package mutating func allows(_ names: [String], by patterns: [NameGlob]) -> Bool {
        let matching = patterns.filter { pattern in names.contains { pattern.matches($0) } }
        usedPatterns.formUnion(matching)
        return !matching.isEmpty
    }

    /// A sentence for each pattern that has no effect.
    package func notes(on patterns: [NameGlob]) -> [String] {
        patterns.filter { !usedPatterns.contains($0) }.map {
            "--allow-missing \($0) has no effect: it matches no tensor that is missing or left over"
        }
    }

    /// The ledger for a manifest and for `--json`.
    public var json: JSON {
        var ties = JSONObject()
        for (name, other) in shared.sorted(by: { $0.key < $1.key }) { ties[name] = .string(other) }
        let types = widened.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value.rawValue)) }
        return [
            "mapped": JSON(mapped.count),
            "dequantised_scales": .array(dequantised.map { .string($0) }),
            "shared": .object(ties),
            "widened": .object(JSONObject(types)),
            "ignored": .array(ignored.map { ["name": .string($0.name), "reason": .string($0.reason)] }),
            "allowed_missing": .array(allowed.map { .string($0) }),
        ]
    }
}
