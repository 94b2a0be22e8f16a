import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@testable import Trainer

@Suite struct MetricsTests {
    private static func step(_ iteration: Int, loss: Double = 1.5, skipped: Int = 0, nan: Int = 0) -> StepRecord {
        StepRecord(
            iteration: iteration,
            totalIterations: 1000,
            consumedSamples: 32 * iteration,
            seconds: 0.125 * Double(iteration),
            tokens: 400,
            trainedTokens: 90,
            learningRate: 1e-5,
            globalBatchSize: 32,
            loss: loss,
            gradientNorm: 1.2344,
            operations: 3e12,
            skippedIterations: skipped,
            nanIterations: nan
        )
    }

    static let done = Result<Trainer.Outcome, any Error>.success(Trainer.Outcome(end: .done, iteration: 4))

    private static let metadata = RunMetadata(name: "tiny", metadata: [("model", "toy <1>")])

    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// The form is that of `training_log` in Megatron-LM; means are (0.125 + 0.25 + 0.375) / 3 s and (1 + 3) / 2.
    @Test func theConsoleLineIsMegatrons() throws {
        var lines: [String] = []
        let console = ConsoleLine(interval: 3, hasThroughput: true, now: { 1_767_261_600 }, write: { lines.append($0) })
        try console.onTrainStart(Self.metadata, after: 0)
        try console.onStepEnd(Self.step(1, loss: 1))
        try console.onStepEnd(Self.step(2, loss: .nan, nan: 1))
        #expect(lines.isEmpty)
        try console.onStepEnd(Self.step(3, loss: 3, nan: 1))
        let line = try #require(lines.first)
        #expect(line.wholeMatch(of: #/ \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] .*/#) != nil)
        let expected = [
            " iteration        3/    1000 | consumed samples:           96 | elapsed time per iteration (ms): 250.0 |",
            " throughput per GPU (TFLOP/s/GPU): 12.0 | learning rate: 1.000000E-05 | global batch size:    32 |",
            " lm loss: 2.000000E+00 | loss scale: 1.0 | grad norm: 1.234 | number of skipped iterations:   0 |",
            " number of nan iterations:   1 | tokens/s: 1600.0 | time left: 0:04:09",
        ]
        #expect(String(line.dropFirst(22)) == expected.joined())
        for iteration in 4...6 { try console.onStepEnd(Self.step(iteration, nan: 1)) }
        #expect(lines.last?.contains("number of nan iterations:   0 |") == true)
    }

    @Test func aShortRunHasALineToo() throws {
        var lines: [String] = []
        let console = ConsoleLine(interval: 10, write: { lines.append($0) })
        try console.onTrainStart(Self.metadata, after: 0)
        for iteration in 1...3 { try console.onStepEnd(Self.step(iteration)) }
        #expect(lines.isEmpty)
        try console.onTrainEnd(Self.done)
        #expect(lines.count == 1 && lines[0].contains(" iteration        3/    1000 |"), "\(lines)")
        try console.onTrainEnd(Self.done)
        #expect(lines.count == 1)
    }

    /// Means as in Megatron's line: (0.125 + 0.25 + 0.375) / 3 s, (1 + 3) / 2 and 1200 tokens in 0.75 s.
    @Test func theCompactLineHasTheSameMeans() throws {
        var lines: [String] = []
        let console = CompactLine(interval: 3, hasThroughput: true) { lines.append($0) }
        console.onStepEnd(Self.step(1, loss: 1))
        console.onStepEnd(Self.step(2, loss: .nan, nan: 1))
        #expect(lines.isEmpty)
        console.onStepEnd(Self.step(3, loss: 3, nan: 1))
        let numbers = "loss 2.0000  lr 1.000e-05  grad norm 1.2344  1600 tokens/s  12.00 TFLOP/s  1 NaN  0:04:09 left"
        #expect(lines == ["step    3/1000  \(numbers)"])
        console.onEvaluate(ValidationRecord(iteration: 3, loss: 0.5, perplexity: 1.6, tokenAccuracy: 0.25, seconds: 2))
        #expect(lines.last == "step    3/1000  validation loss 0.5000  perplexity 1.6000  token accuracy 0.2500")
        console.onSave(SavedCheckpoint(iteration: 3, path: "run/iter_0000003"))
        #expect(lines.last == "step    3/1000  saved run/iter_0000003")
        console.onStepEnd(Self.step(4, loss: 0.00125, nan: 1))
        #expect(lines.count == 3)
        console.onTrainEnd(Self.done)
        #expect(lines.count == 4 && lines[3].hasPrefix("step    4/1000  loss 1.250e-03  lr"), "\(lines)")
        console.onTrainEnd(Self.done)
        #expect(lines.count == 4)
    }

    @Test func aReportContinuesTheLogNextToIt() throws {
        let directory = scratch.path
        let log = JSONLinesLog(path: "\(directory)/log.jsonl")
        try log.onTrainStart(Self.metadata, after: 0)
        for iteration in 1...4 { try log.onStepEnd(Self.step(iteration, loss: Double(10 - iteration))) }
        try log.onEvaluate(ValidationRecord(iteration: 4, loss: 5.5, perplexity: 244.7, seconds: 1))
        try log.onTrainEnd(Self.done)
        // After step 3: what the log has of later ones is another run's future.
        let report = HTMLReport(path: "\(directory)/report.html")
        try report.onTrainStart(Self.metadata, after: 3)
        #expect(report.page.contains("3 of 1000") && report.page.contains("<td>7</td>"))
        #expect(!report.page.contains("last validation"))
        try report.onStepEnd(Self.step(4, loss: 2.25))
        try report.onTrainEnd(Self.done)
        let page = try String(contentsOfFile: "\(directory)/report.html", encoding: .utf8)
        #expect(page.contains("4 of 1000") && page.contains("<td>2.25</td>"))
        // 0.125 s times 1 + 2 + 3 + 4.
        #expect(page.contains("<th>tokens per second</th><td>1280.0</td>"))
        let whole = HTMLReport(path: "\(directory)/again.html")
        try whole.onTrainStart(Self.metadata, after: 4)
        #expect(whole.page.contains("loss 5.5, perplexity 244.7"))
    }

    @Test func theBreakdownIsThatOfAllStepsButTheFirst() throws {
        let engine = MeasuringEngine(TestEngine.cpu(threadCount: 1))
        func multiply(_ times: Int) {
            let x = Tensor.zeros([8, 16], .float32, on: engine)
            for _ in 0..<times { _ = x.matrixProduct(x.transposed()) }
        }
        var rows: [[String]] = []
        let breakdown = StepBreakdown(engine: engine, peakSize: 32) { rows = $0 }
        multiply(100)
        try breakdown.onTrainStart(Self.metadata, after: 0)
        for (iteration, times) in [(1, 50), (2, 2), (3, 4)] {
            multiply(times)
            var step = Self.step(iteration)
            step.dataSeconds = 0.1
            try breakdown.onStepEnd(step)
        }
        multiply(70)
        try breakdown.onEvaluate(ValidationRecord(iteration: 3, loss: 1, perplexity: 1, seconds: 1))
        try breakdown.onTrainEnd(Self.done)
        #expect(rows.first?.first == "one step of 2")
        // The mean of two and four products.
        let product = try #require(rows.first { $0[0] == "product 8 x 16 x 8" })
        #expect(product[1] == "3" && product[5].hasSuffix("%"))
        // Steps of 0.25 and 0.375 s.
        let all = try #require(rows.first { $0[0] == "all" })
        #expect(all[2] == "312.5" && all[3] == "100.0 %")
        // A tenth of a second in each step.
        let waiting = try #require(rows.first { $0[0] == "waiting for samples" })
        #expect(waiting[2] == "100.0" && waiting[3] == "32.0 %")
        // The median of the two steps' shares of the peak, and the range.
        #expect(try #/\d+ % \(\d+ to \d+\)/#.wholeMatch(in: all[5]) != nil)
        let peak = try #require(rows.last)
        #expect(peak[0] == "peak, 32 x 32 x 32 in float32")
        let bounds = peak[5].split(separator: " to ").compactMap { Double($0) }
        let median = try #require(Double(peak[4]))
        #expect(bounds.count == 2 && bounds[0] <= median && median <= bounds[1])
    }

    @Test func theLogContinuesWhereTheResumedRunStarts() throws {
        let path = scratch.path + "/log.jsonl"
        let first = JSONLinesLog(path: path)
        try first.onTrainStart(Self.metadata, after: 0)
        for iteration in 1...5 { try first.onStepEnd(Self.step(iteration, loss: Double(iteration))) }
        try first.onEvaluate(ValidationRecord(iteration: 5, loss: 0.5, perplexity: 1.6, seconds: 2))
        try first.onTrainEnd(Self.done)
        // A process that was killed while it wrote.
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(#"{"iteration":6,"lm_"#.utf8))
        let second = JSONLinesLog(path: path)
        try second.onTrainStart(Self.metadata, after: 3)
        try second.onStepEnd(Self.step(4, loss: .infinity))
        try second.onTrainEnd(Self.done)
        let rows = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map {
            try JSON(parsing: Array($0.utf8))
        }
        #expect(rows.map { $0["iteration"]?.integer } == [1, 2, 3, 4])
        #expect(rows.map { $0["lm_loss"]?.double } == [1, 2, 3, nil])
        #expect(rows[3]["lm_loss"]?.isNull == true)
        #expect(rows[1]["tokens_per_second"]?.double == 1600)
    }

    /// RFC 3720, appendix B.4.
    @Test func theChecksumIsTheOneOfTheRFC() {
        #expect(EventRecord.checksum(Array(repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(EventRecord.checksum(Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(EventRecord.checksum(Array(0..<32)) == 0x46DD_794E)
    }

    /// The bytes are those of the package tensorboard 2.21.0; see Tests/Fixtures/metrics/make.py.
    @Test func eventsAreTheBytesOfTensorBoard() throws {
        let url = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "../../Fixtures/metrics/events.json"
        )
        let recorded = try JSON(parsing: Array(try Data(contentsOf: url)))
        func hex(_ bytes: [UInt8]) -> String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
        let scalars = [("lm loss", 1.234567), ("learning-rate", 2.5e-5), ("grad-norm", 300.75)]
        let time = 1_767_261_600.25
        #expect(hex(EventRecord.framed(EventRecord.version(at: time))) == recorded["version"]?.string)
        let summary = EventRecord.scalars(scalars, step: 70_000, at: time + 0.25)
        #expect(hex(EventRecord.framed(summary)) == recorded["scalars"]?.string)
        let restart = EventRecord.restart(at: time + 0.5, step: 301)
        #expect(hex(EventRecord.framed(restart)) == recorded["restart"]?.string)
    }

    @Test func aRunWritesOneEventFile() throws {
        let directory = scratch.path + "/deep/er"
        let writer = TensorBoardWriter(directory: directory)
        try writer.onTrainStart(Self.metadata, after: 0)
        try writer.onStepEnd(Self.step(1))
        try writer.onEvaluate(ValidationRecord(iteration: 1, loss: 0.5, perplexity: 1.6, seconds: 2))
        try writer.onTrainEnd(Self.done)
        let names = try FileManager.default.contentsOfDirectory(atPath: directory)
        #expect(names.count == 1 && names.allSatisfy { $0.hasPrefix("events.out.tfevents.") })
        let bytes = try Data(contentsOf: URL(filePath: directory + "/" + (names.first ?? "")))
        #expect(bytes.range(of: Data("lm loss validation ppl".utf8)) != nil)
    }

    /// TensorBoard reads the files of a directory in the order of their names, and both may begin in the same second.
    @Test func theFileOfLaterStepsIsReadLast() throws {
        let directory = scratch.path + "/board"
        func names() throws -> Set<String> { Set(try FileManager.default.contentsOfDirectory(atPath: directory)) }
        var order: [String] = []
        for iteration in [0, 9, 10, 100] {
            let before = order.isEmpty ? [] : try names()
            let writer = TensorBoardWriter(directory: directory)
            try writer.onTrainStart(Self.metadata, after: iteration)
            try writer.onTrainEnd(Self.done)
            order += try names().subtracting(before)
        }
        #expect(order.count == 4 && order == order.sorted())
    }

    @Test func theReportHasEveryCurveAndNothingFromOutside() throws {
        let path = scratch.path + "/report.html"
        let report = HTMLReport(path: path)
        try report.onTrainStart(RunMetadata(name: "<b>&\"", metadata: [("model", "toy <1>")]), after: 0)
        for iteration in 1...300 {
            try report.onStepEnd(Self.step(iteration, loss: iteration == 7 ? .nan : 3 + 9 / Double(iteration)))
        }
        for iteration in [100, 200, 300] {
            let loss = 3.4 + 20 / Double(iteration)
            try report.onEvaluate(ValidationRecord(iteration: iteration, loss: loss, perplexity: exp(loss), seconds: 2))
        }
        try report.onTrainEnd(Self.done)
        let data = try Data(contentsOf: URL(filePath: path))
        let text = String(decoding: data, as: UTF8.self)
        #expect(text.contains("<title>&lt;b&gt;&amp;&quot;</title>"))
        #expect(text.contains("<th>model</th><td>toy &lt;1&gt;</td>"))
        #expect(text.components(separatedBy: "<path class=\"line\"").count == 5)
        #expect(text.components(separatedBy: "<circle class=\"mark\"").count == 4)
        for word in ["http", "src=", "href", "@import", "url(", "nan", "inf\""] { #expect(!text.contains(word)) }
        // What stands between the page's tags is well-formed, which a strict parser can tell of XML only.
        let body = try #require(text.range(of: "<body>"))
        let parser = XMLText(text[body.lowerBound...].replacingOccurrences(of: "</html>", with: ""))
        #expect(parser.isBalanced)
    }

    @Test func everyDataSetOfAValidationHasACurve() throws {
        let report = HTMLReport(path: scratch.path + "/report.html")
        try report.onTrainStart(Self.metadata, after: 0)
        for iteration in 1...20 { try report.onStepEnd(Self.step(iteration, loss: 3)) }
        for iteration in [10, 20] {
            let parts = [
                ValidationRecord.Part(name: "a<b", loss: 2.5), ValidationRecord.Part(name: "tools", loss: 1.5),
            ]
            try report.onEvaluate(
                ValidationRecord(iteration: iteration, loss: 2, perplexity: 7.4, seconds: 1, parts: parts)
            )
        }
        let page = report.page
        for (name, kind) in [("validation", ""), ("a&lt;b", " s1"), ("tools", " s2")] {
            #expect(page.contains("<span class=\"key\(kind)\">\u{25CF} \(name)</span>"), "\(name)")
            #expect(page.components(separatedBy: "<path class=\"marks\(kind)\"").count == 2)
            #expect(page.components(separatedBy: "<circle class=\"mark\(kind)\"").count == 3)
        }
    }

    @Test func aReportOfNothingIsAPageToo() throws {
        let path = scratch.path + "/report.html"
        let report = HTMLReport(path: path)
        try report.onTrainStart(Self.metadata, after: 0)
        try report.onStepEnd(Self.step(1, loss: .infinity))
        try report.onTrainEnd(Self.done)
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("No finite value was recorded."))
    }

    @Test(arguments: [(0.0, 0.0), (1e-5, 1e-5), (-1e308, 1e308), (0.0, Double.leastNonzeroMagnitude), (1e15, 1e15 + 1)])
    func anAxisHoldsItsValues(_ least: Double, _ most: Double) {
        let axis = CurvePlot.ticks(least, most, whole: false)
        #expect(axis.low.isFinite && axis.high.isFinite && axis.low < axis.high)
        #expect(axis.values.count <= 21)
        #expect(axis.low <= max(least, -1e300) && axis.high >= min(most, 1e300))
    }

    @Test func whatCannotBeWrittenIsAnError() {
        #expect(throws: BridgeError.self) {
            try JSONLinesLog(path: "/proc/none/log").onTrainStart(Self.metadata, after: 0)
        }
        #expect(throws: BridgeError.self) {
            try TensorBoardWriter(directory: "/proc/none").onTrainStart(Self.metadata, after: 0)
        }
    }
}

/// Whether every tag of a text is closed in its turn.
private struct XMLText {
    private(set) var isBalanced = true

    init(_ text: String) {
        var open: [Substring] = []
        for tag in text.split(separator: "<").compactMap({ $0.split(separator: ">").first }) where !tag.hasSuffix("/") {
            let name = tag.prefix { $0.isLetter || $0.isNumber || $0 == "/" }
            if name.hasPrefix("/") {
                isBalanced = isBalanced && open.popLast() == name.dropFirst()
            } else {
                open.append(name)
            }
        }
        isBalanced = isBalanced && open.isEmpty
    }
}
