import BridgeCore
import Foundation
public import JSONTree

/// What was measured of a checkpoint: facts about it, and the outcome of every check under every layout.
public struct ModelCard: Sendable, Equatable {
    /// A named value.
    public struct Figure: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Its value, as it is shown.
        public var value: String

        /// A named value.
        public init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
    }

    /// The outcome of a check.
    public enum Outcome: Sendable, Equatable {
        /// It passed.
        case passed
        /// It failed, for the given reason.
        case failed(String)
        /// It was not measured, for the given reason.
        case skipped(String)

        /// `passed`, `failed` or `skipped`.
        public var word: String {
            switch self {
            case .passed: "passed"
            case .failed: "failed"
            case .skipped: "skipped"
            }
        }

        /// The reason; nil for a check that passed.
        public var reason: String? {
            switch self {
            case .passed: nil
            case .failed(let reason), .skipped(let reason): reason
            }
        }
    }

    /// A check under a layout.
    public struct Row: Sendable, Equatable {
        /// The check.
        public var check: CardCheck
        /// The layout.
        public var layout: CardLayout
        /// The outcome.
        public var outcome: Outcome
        /// What was measured.
        public var figures: [Figure]
        /// The duration.
        public var seconds: Double

        /// A row.
        public init(check: CardCheck, layout: CardLayout, outcome: Outcome, figures: [Figure], seconds: Double) {
            (self.check, self.layout, self.outcome) = (check, layout, outcome)
            (self.figures, self.seconds) = (figures, seconds)
        }

        /// The figures as one text.
        public var text: String { figures.map { "\($0.name) \($0.value)" }.joined(separator: ", ") }
    }

    /// The name of the checkpoint.
    public var name: String
    /// Facts: the model, the checkpoint, the program, the machine, the date.
    public var facts: [Figure]
    /// The command that makes the file with logits of transformers.
    public var referenceCommand: String
    /// The measurements, layout by layout.
    public var rows: [Row]

    /// A card.
    public init(name: String, facts: [Figure], referenceCommand: String, rows: [Row]) {
        (self.name, self.facts, self.referenceCommand, self.rows) = (name, facts, referenceCommand, rows)
    }

    /// The number of checks that failed.
    public var failedCount: Int { rows.count { $0.outcome.word == "failed" } }

    /// The card as JSON.
    public var json: JSON {
        [
            "model": .string(name),
            "facts": .object(JSONObject(facts.map { ($0.name, .string($0.value)) })),
            "reference_command": .string(referenceCommand),
            "failed": JSON(failedCount),
            "checks": .array(
                rows.map { row in
                    [
                        "check": .string(row.check.rawValue),
                        "tensor_model_parallel_size": JSON(row.layout.tensor),
                        "pipeline_model_parallel_size": JSON(row.layout.pipeline),
                        "outcome": .string(row.outcome.word),
                        "reason": row.outcome.reason.map { .string($0) } ?? .null,
                        "figures": .object(JSONObject(row.figures.map { ($0.name, .string($0.value)) })),
                        "seconds": JSON(row.seconds),
                    ]
                }
            ),
        ]
    }

    /// The card as Markdown.
    ///
    /// - Parameter level: The level of the first heading.
    /// - Returns: A heading, the facts, the outcomes of every check by layout, and the figures.
    public func markdown(level: Int = 1) -> String {
        let heading = String(repeating: "#", count: level)
        let layouts = rows.reduce(into: [CardLayout]()) { if !$0.contains($1.layout) { $0.append($1.layout) } }
        let checks = CardCheck.allCases.filter { check in rows.contains { $0.check == check } }
        let outcomes = checks.map { check in
            ["`\(check.rawValue)`"]
                + layouts.map { layout in
                    rows.first { $0.check == check && $0.layout == layout }?.outcome.word ?? "-"
                } + [check.summary]
        }
        let details = checks.flatMap { check in
            rows.filter { $0.check == check }.map { row in
                [
                    "`\(check.rawValue)`", "\(row.layout)", row.outcome.word,
                    [row.outcome.reason, row.figures.isEmpty ? nil : row.text].compactMap(\.self)
                        .joined(separator: "; "),
                    String(format: "%.2f", row.seconds),
                ]
            }
        }
        return """
            \(heading) Verification card of \(Self.cell(name))

            \(Self.table(["", ""], facts.map { [$0.name, $0.value] }))
            \(heading)# Outcomes

            \(Self.table(["Check"] + layouts.map(\.description) + ["What it shows"], outcomes))
            \(heading)# Figures

            \(Self.table(["Check", "Layout", "Outcome", "Figures", "Seconds"], details))
            \(heading)# The logits of transformers

            This makes the file of `--reference-logits`, with `NAME` as the path of the model:

            ```sh
            \(referenceCommand)
            ```

            """
    }

    private static func table(_ columns: [String], _ rows: [[String]]) -> String {
        ([columns, columns.map { _ in "---" }] + rows)
            .map { "| " + $0.map(cell).joined(separator: " | ") + " |\n" }.joined()
    }

    /// A text that does not end its cell; a name is the user's.
    private static func cell(_ text: String) -> String {
        text.replacing("|", with: "\\|").replacing("\n", with: " ").replacing("<", with: "&lt;")
    }
}
