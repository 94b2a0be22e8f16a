import ArgumentParser
import BridgeCore
import JSONTree
import Trainer

/// Lists all bad rows of a file, before a run fails at the first.
struct DataCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Find every row that cannot be used or has no supervised token.",
        discussion: """
            The first 20 invalid rows are printed with file and line number; --json has the first 10,000. The exit status is 1 \
            if there are any, and the check stops after half a million. Keys that are ignored are listed, which \
            with --strict makes the exit status 1, and rows whose answers have no supervised end are counted.

            EXAMPLES:
              bridge data check --hf-model toy --data train.jsonl --seq-length 2048
            """
    )

    @OptionGroup var options: DataOptions

    @OptionGroup var output: OutputOptions
    @OptionGroup var threads: ThreadOptions

    /// The findings in a row.
    private struct Finding {
        var statistics = SampleStatistics()
        var bad: String?
        var warning: String?
    }

    func run() throws {
        let opened = try options.open()
        let threads = threads.count
        // Rows are in the order of the file, independent of threads.
        let rows = Prefetcher(count: opened.source.count, depth: 4 * threads, workers: threads) { row in
            try Self.look(at: row, opened)
        }
        var statistics = SampleStatistics()
        var findings = Findings()
        var warnings = Findings()
        var row = 0
        while findings.count < Self.mostBadRows, let finding = try rows.next() {
            statistics += finding.statistics
            if let bad = finding.bad { findings.add(row, bad) }
            if let warning = finding.warning { warnings.add(row, warning) }
            row += 1
        }
        report(opened.source.count, looked: row, statistics, findings, warnings, opened.notes)
        if findings.count > 0 || options.model.plugins.strict && !opened.notes.unreadKeys.isEmpty { throw ExitCode(1) }
    }

    /// The check stops after this number of bad rows; more would most likely have the same problem.
    private static let mostBadRows = 500_000

    /// Findings in many rows: their number, and the sentences about the first of them.
    private struct Findings {
        private(set) var rows: [(row: Int, message: String)] = []
        private(set) var count = 0

        private static let mostKept = 10_000

        mutating func add(_ row: Int, _ message: String) {
            count += 1
            if rows.count < Self.mostKept { rows.append((row, message)) }
        }
    }

    private static func look(at row: Int, _ opened: DataOptions.Opened) throws -> Finding {
        var finding = Finding()
        let location = opened.source.location(of: row)
        do {
            let samples = try opened.source.samples(at: row)
            do {
                for read in samples {
                    let (sample, outcome) = try opened.fitter.fit(read)
                    finding.statistics.count(sample, outcome)
                    if case .cut(let count) = outcome {
                        finding.warning = "\(location): \(count) tokens at the end would be truncated"
                    }
                    if sample.supervisedCount == 0 {
                        finding.bad =
                            "\(location): no supervised token\(read.supervisedCount == 0 ? "" : " remains after truncation")"
                    }
                }
            } catch let error as BridgeError {
                finding.bad = "\(location): \(error.message)"
            }
        } catch let error as BridgeError where error.code != .cancelled {
            finding.bad = error.message
        }
        return finding
    }

    /// The maximum number of printed rows: most often all have the same problem.
    private static let mostLines = 20

    private static func lines(_ found: Findings, _ thing: String, _ prefix: String = "") {
        for row in found.rows.prefix(mostLines) { Output.line(prefix + row.message) }
        guard found.count > mostLines else { return }
        let extent = found.count > found.rows.count ? "the first \(found.rows.count)" : "all of them"
        Output.line(
            "\(prefix)and \(ByteFormat.counted(found.count - mostLines, "more \(thing)")); --json has \(extent)"
        )
    }

    private func report(
        _ count: Int,
        looked: Int,
        _ statistics: SampleStatistics,
        _ findings: Findings,
        _ warnings: Findings,
        _ notes: DataNotes
    ) {
        func list(_ found: Findings) -> JSON {
            .array(found.rows.map { ["row": $0.row.json, "message": .string($0.message)] })
        }
        if output.json {
            return Output.json([
                "rows": count.json, "checked_rows": looked.json, "bad_rows": list(findings),
                "bad_row_count": findings.count.json, "cut_rows": list(warnings),
                "cut_row_count": warnings.count.json,
                "tokens": statistics.tokenCount.json, "trained_tokens": statistics.supervisedCount.json,
                "images": statistics.imageCount.json, "cut_tokens": statistics.cutTokens.json,
                "unread_keys": .array(notes.unreadKeys.map { .string($0) }),
                "marks_of_prompts": .array(notes.marksOfPrompts.map { .string($0) }),
                "rows_without_end": notes.rowsWithoutEnd.json,
            ])
        }
        Self.lines(findings, "invalid row")
        Self.lines(warnings, "truncated row", "warning: ")
        if looked < count {
            Output.line(
                "warning: the check stopped after \(findings.count) invalid rows; \(count - looked) rows were not checked"
            )
        }
        for sentence in notes.sentences { Output.line("warning: \(sentence)") }
        Output.line(
            "\(ByteFormat.counted(count, "row")): \(findings.count) invalid, \(warnings.count) truncated, "
                + "\(ByteFormat.counted(statistics.tokenCount, "token")), \(statistics.supervisedCount) supervised, "
                + ByteFormat.counted(statistics.imageCount, "image")
        )
    }
}
