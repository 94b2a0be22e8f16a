import JSONTree
import ModelCards
import Testing

/// The text of a card, and its layouts.
@Suite struct ModelCardTests {
    private static let card = ModelCard(
        name: "a|b",
        facts: [.init("Date", "2026-01-31")],
        referenceCommand: "python3 -c 'x'",
        rows: [
            .init(
                check: .importing,
                layout: CardLayout(),
                outcome: .passed,
                figures: [.init("tensors", "5"), .init("bytes", "10")],
                seconds: 0.126
            ),
            .init(
                check: .importing,
                layout: CardLayout(tensor: 2),
                outcome: .skipped("needs <more>"),
                figures: [],
                seconds: 0
            ),
            .init(check: .sft, layout: CardLayout(), outcome: .failed("it rises"), figures: [], seconds: 1),
        ]
    )

    @Test func theCardHasATableOfOutcomesAndOneOfFigures() {
        let lines = Self.card.markdown(level: 2).split(separator: "\n").map(String.init)
        #expect(lines.first == "## Verification card of a\\|b")
        #expect(
            lines.filter { $0.hasPrefix("### ") } == ["### Outcomes", "### Figures", "### The logits of transformers"]
        )
        #expect(lines.contains("| Date | 2026-01-31 |"))
        #expect(lines.contains("| Check | 1 rank | TP 2 | What it shows |"))
        #expect(lines.contains("| `import` | passed | skipped | \(CardCheck.importing.summary) |"))
        #expect(lines.contains("| `sft` | failed | - | \(CardCheck.sft.summary) |"))
        #expect(lines.contains("| `import` | 1 rank | passed | tensors 5, bytes 10 | 0.13 |"))
        #expect(lines.contains("| `import` | TP 2 | skipped | needs &lt;more> | 0.00 |"))
        #expect(lines.contains("python3 -c 'x'"))
    }

    @Test func theDocumentHasTheSame() {
        let json = Self.card.json
        #expect(json["model"] == "a|b" && json["failed"] == 1 && json["facts"]?["Date"] == "2026-01-31")
        let checks = json["checks"]?.array ?? []
        #expect(checks.map { $0["outcome"]?.string } == ["passed", "skipped", "failed"])
        #expect(checks[1]["tensor_model_parallel_size"] == 2 && checks[1]["reason"] == "needs <more>")
        #expect(checks[0]["figures"]?["tensors"] == "5" && checks[0]["reason"]?.isNull == true)
    }

    @Test func layoutsAreReadFromTheirShortNames() {
        let read = ["1", "tp2", "pp3", "tp2pp2", "TP16PP4"].map { CardLayout($0)?.description }
        #expect(read == ["1 rank", "TP 2", "PP 3", "TP 2 x PP 2", "TP 16 x PP 4"])
        for text in ["", "2", "tp", "tp0", "pp2tp2", "tp2 ", "tp65", "tp16pp8", "tp2pp", "x"] {
            #expect(CardLayout(text) == nil, "\(text)")
        }
        #expect(CardLayout.standard.map(\.description) == ["1 rank", "TP 2", "PP 2", "TP 2 x PP 2"])
    }
}
