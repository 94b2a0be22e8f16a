import BridgeCore

/// Writes a self-contained HTML page with the curves and the metadata of a run.
///
/// The page is written at the end of the run and periodically before. For very long runs each curve shows means over
/// neighbouring steps. A resumed run reads the steps of earlier processes from the log next to the page.
public final class HTMLReport: TrainerCallback {
    /// The file name of a run's report.
    public static let fileName = "report.html"

    private let path: String
    private var run = RunMetadata(name: "", metadata: [])
    private var steps: [StepRecord] = []
    private var validations: [ValidationRecord] = []
    private var written = ContinuousClock.now

    /// The maximum age of the page during the run.
    private static let longestAge = Duration.seconds(30)

    /// A report.
    ///
    /// - Parameter path: The file; its directory has to exist.
    public init(path: String) { self.path = path }

    /// Stores the metadata, and reads steps and validations from `log.jsonl` in the same directory.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
        self.run = run
        guard iteration > 0 else { return }
        let directory = path.lastIndex(of: "/").map { path[...$0] } ?? ""
        (steps, validations) = JSONLinesLog.records(in: "\(directory)\(JSONLinesLog.fileName)", through: iteration)
    }

    /// Stores a step.
    public func onStepEnd(_ step: StepRecord) throws {
        steps.append(step)
        if ContinuousClock.now - written > Self.longestAge { try write() }
    }

    /// Stores a validation.
    public func onEvaluate(_ validation: ValidationRecord) throws { validations.append(validation) }

    /// Writes the page.
    ///
    /// - Throws: `BridgeError` when it cannot be written.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        // A run that fails before its first step leaves the report of an earlier one.
        if case .failure = result, steps.isEmpty { return }
        try write()
    }

    private func write() throws {
        try Files.replace(path, with: Array(page.utf8))
        written = ContinuousClock.now
    }

    /// The page.
    var page: String {
        var metadata = run.metadata
        if let last = steps.last {
            let seconds = steps.reduce(0) { $0 + $1.seconds }
            let tokens = steps.reduce(0) { $0 + Double($1.tokens) }
            metadata += [
                ("steps done", "\(last.iteration) of \(last.totalIterations)"),
                ("samples used", "\(last.consumedSamples)"),
                ("time of the steps", CFormat.duration(seconds)),
                ("tokens per second", CFormat.text("%.1f", seconds > 0 ? tokens / seconds : 0)),
                ("last loss", CFormat.text("%.4g", last.loss)),
                ("steps skipped", "\(last.skippedIterations) for spikes, \(last.nanIterations) for NaN"),
            ]
        }
        if let last = validations.last {
            metadata.append(("last validation", Self.text(of: last)))
        }
        let rows = metadata.map { "<tr><th>\(Self.escaped($0.name))</th><td>\(Self.escaped($0.value))</td></tr>" }
        let loss = steps.map { CurvePlot.Point(x: Double($0.iteration), y: $0.loss) }
        let held = validations.map { CurvePlot.Point(x: Double($0.iteration), y: $0.loss) }
        // With several data sets each has a curve of its own.
        var names: [String] = []
        for part in validations.flatMap(\.parts) where !names.contains(part.name) { names.append(part.name) }
        let parts = names.map { name in
            CurvePlot.Series(
                name: name,
                points: validations.compactMap { validation in
                    validation.parts.first { $0.name == name }.map {
                        .init(x: Double(validation.iteration), y: $0.loss)
                    }
                }
            )
        }
        let unit = steps.last?.preference == nil ? "nats per token" : "mean over pairs of answers"
        var plots = [
            CurvePlot(title: "Loss", unit: unit, line: loss, series: [.init(name: "validation", points: held)] + parts),
            plot("Learning rate", "") { $0.learningRate }, plot("Gradient norm", "before clipping") { $0.gradientNorm },
            plot("Throughput", "tokens per second") { Double($0.tokens) / $0.seconds },
        ]
        if steps.last?.preference != nil {
            plots += [
                plot("Reward margin", "chosen less rejected") { $0.preference?.margin ?? .nan },
                plot("Accuracy", "share of pairs whose chosen answer has the larger reward") {
                    $0.preference?.accuracy ?? .nan
                },
            ]
        }
        let title = Self.escaped(run.name)
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>\(title)</title><style>\(Self.style)</style></head>
            <body><main><h1>\(title)</h1><div class="plots">
            \(plots.map(\.svg).joined(separator: "\n"))
            </div><h2>Facts</h2><table>
            \(rows.joined(separator: "\n"))
            </table></main></body></html>

            """
    }

    private static func text(of validation: ValidationRecord) -> String {
        var parts = [CFormat.text("loss %.4g", validation.loss)]
        if let perplexity = validation.perplexity { parts.append(CFormat.text("perplexity %.4g", perplexity)) }
        if let accuracy = validation.tokenAccuracy { parts.append(CFormat.text("token accuracy %.4g", accuracy)) }
        if let pairs = validation.preference {
            parts.append(CFormat.text("accuracy %.4g, reward margin %.4g", pairs.accuracy, pairs.margin))
        }
        return parts.joined(separator: ", ")
    }

    private func plot(_ title: String, _ unit: String, _ value: (StepRecord) -> Double) -> CurvePlot {
        CurvePlot(title: title, unit: unit, line: steps.map { .init(x: Double($0.iteration), y: value($0)) })
    }

    /// Text escaped for elements and attributes.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }

    private static let style = """
        :root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#667079;--rule:#e3e6ea;--line:#1f6fd0;--mark:#c2410c}
        @media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ed;--soft:#98a2ad;--rule:#2b3138;--line:#6cb0ff;\
        --mark:#ff9a5c}}
        body{margin:0;background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}
        main{max-width:1080px;margin:0 auto;padding:24px}h1{font-size:24px}h2{font-size:17px}
        .plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:24px}
        figure{margin:0}figcaption{font-weight:600}figcaption span{font-weight:400;color:var(--soft)}
        svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}
        .grid{stroke:var(--rule)}.line{fill:none;stroke:var(--line);stroke-width:1.6}.dot{fill:var(--line)}
        .marks{fill:none;stroke:var(--mark);stroke-width:1.4}.mark{fill:var(--mark)}.key{color:var(--mark)!important}
        .s0{--mark:#8a6d00}.s1{--mark:#2e7d32}.s2{--mark:#8e24aa}.s3{--mark:#00838f}.s4{--mark:#6d4c41}
        @media(prefers-color-scheme:dark){.s0{--mark:#e0c04d}.s1{--mark:#81c784}.s2{--mark:#ce93d8}.s3{--mark:#4dd0e1}.s4{--mark:#bcaaa4}}
        table{border-collapse:collapse}th,td{text-align:left;padding:4px 24px 4px 0;border-bottom:1px solid var(--rule);\
        overflow-wrap:anywhere}th{font-weight:400;color:var(--soft);white-space:nowrap}
        """
}
