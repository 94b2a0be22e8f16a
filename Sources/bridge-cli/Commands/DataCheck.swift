import ArgumentParser
import BridgeCore
import JSONTree
import Trainer

/// All bad rows of a file, before a run meets the first of them.
struct DataCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Find every row that a run would refuse or learn nothing from.",
        discussion: """
            Each bad row is one line with file and line number. The exit status is 1 when there is any.

            EXAMPLE:
              bridge data check --hf-model toy --data train.jsonl --seq-length 2048
            """
    )

    @OptionGroup var options: DataOptions

    @Flag(name: .long, help: "Print the findings as JSON.")
    var json = false

    func run() throws {
        let opened = try options.open()
        var statistics = SampleStatistics()
        var findings: [(row: Int, message: String)] = []
        var warnings: [(row: Int, message: String)] = []
        for row in 0..<opened.source.count {
            if Interrupt.cancellation.isCancelled {
                throw BridgeError(.cancelled, "stopped as asked; nothing was changed")
            }
            do {
                let read = try opened.source.sample(at: row)
                let (sample, outcome) = try about(row, opened.source) { try opened.fitter.fit(read) }
                statistics.count(sample, outcome)
                if case .cut(let count) = outcome {
                    warnings.append(
                        (row, "\(opened.source.place(of: row)): \(count) tokens at the end would be cut off")
                    )
                }
                if sample.trainedCount == 0 {
                    let when = read.trainedCount == 0 ? "" : " once it is cut"
                    findings.append((row, "\(opened.source.place(of: row)): no token is trained\(when)"))
                }
            } catch let error as BridgeError where error.code != .cancelled {
                findings.append((row, error.message))
            }
        }
        report(opened.source.count, statistics, findings, warnings)
        if !findings.isEmpty { throw ExitCode(1) }
    }

    private func report(
        _ count: Int,
        _ statistics: SampleStatistics,
        _ findings: [(row: Int, message: String)],
        _ warnings: [(row: Int, message: String)]
    ) {
        func list(_ rows: [(row: Int, message: String)]) -> JSON {
            .array(rows.map { ["row": $0.row.json, "message": .string($0.message)] })
        }
        if json {
            return Output.json([
                "rows": count.json, "bad_rows": list(findings), "cut_rows": list(warnings),
                "tokens": statistics.tokenCount.json, "trained_tokens": statistics.trainedCount.json,
                "images": statistics.imageCount.json, "cut_tokens": statistics.cutTokens.json,
            ])
        }
        for finding in findings { Output.line(finding.message) }
        for warning in warnings { Output.line("warning: \(warning.message)") }
        Output.line(
            "\(count) rows: \(findings.count) bad, \(warnings.count) cut, \(statistics.tokenCount) tokens, "
                + "\(statistics.trainedCount) trained, \(statistics.imageCount) images"
        )
    }

    private func about<Result>(_ row: Int, _ source: any SampleSource, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as BridgeError {
            throw BridgeError(error.code, "\(source.place(of: row)): \(error.message)")
        }
    }
}
