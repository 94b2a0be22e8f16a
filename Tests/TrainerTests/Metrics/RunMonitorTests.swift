import BridgeCore
import Foundation
import TestSupport
import Testing

@testable import Trainer

/// A run that is watched from another process.
@Suite struct RunMonitorTests {
    private let scratch: TemporaryDirectory
    private var log: String { scratch.path("run_logs/log.jsonl") }

    init() throws {
        scratch = try TemporaryDirectory()
        try Files.createDirectory(scratch.path("run_logs"))
    }

    private static let run = RunMetadata(name: "tiny", metadata: [])

    private static func step(_ iteration: Int, loss: Double = 2) -> StepRecord {
        StepRecord(
            iteration: iteration,
            totalIterations: 8,
            consumedSamples: iteration,
            seconds: 0.5,
            tokens: 100,
            trainedTokens: 50,
            learningRate: 1e-3,
            globalBatchSize: 4,
            loss: loss,
            gradientNorm: 1
        )
    }

    private func append(_ text: String) throws {
        let handle = try #require(FileHandle(forWritingAtPath: log))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(text.utf8))
        try handle.close()
    }

    @Test func aLogIsReadWhileItIsWritten() throws {
        let writer = JSONLinesLog(path: log)
        try writer.onTrainStart(Self.run, after: 0)
        for iteration in 1...3 { try writer.onStepEnd(Self.step(iteration)) }
        let monitor = try RunMonitor(scratch.path("run"))
        #expect(monitor.steps.map(\.iteration) == [1, 2, 3] && monitor.totalIterations == 8)
        #expect(monitor.state == .running)
        // 100 tokens in half a second, and five more steps.
        #expect(monitor.tokensPerSecond == 200 && monitor.secondsLeft == 2.5)
        try writer.onEvaluate(ValidationRecord(iteration: 3, loss: 1.5, perplexity: 4.48, seconds: 1))
        try writer.onStepEnd(Self.step(4, loss: .nan))
        try monitor.refresh()
        #expect(monitor.steps.count == 4 && monitor.validations.map(\.loss) == [1.5])
        #expect(monitor.steps.last?.loss.isNaN == true)
        try writer.onTrainEnd(.success(Trainer.Outcome(end: .interrupted, iteration: 4)))
        #expect(monitor.state == .stopped)
    }

    @Test func allStepsAreTheEnd() throws {
        let writer = JSONLinesLog(path: log)
        try writer.onTrainStart(Self.run, after: 0)
        for iteration in 1...8 { try writer.onStepEnd(Self.step(iteration)) }
        try writer.onTrainEnd(.success(Trainer.Outcome(end: .done, iteration: 8)))
        let monitor = try RunMonitor(log)
        #expect(monitor.state == .finished && monitor.secondsLeft == 0)
    }

    @Test func anIncompleteLineIsReadOnceItIsComplete() throws {
        try scratch.write(Array(#"{"iteration": 1, "lm_loss": 3}"#.utf8) + [10], to: "run_logs/log.jsonl")
        let monitor = try RunMonitor(scratch.path("run_logs"))
        try append(#"{"iteration": 2, "lm_"#)
        try monitor.refresh()
        #expect(monitor.steps.map(\.iteration) == [1])
        try append("loss\": 2.5}\n")
        try monitor.refresh()
        #expect(monitor.steps.map(\.loss) == [3, 2.5])
        // A log of earlier versions has no number of steps.
        #expect(monitor.totalIterations == nil && monitor.secondsLeft == nil && monitor.state == .stopped)
    }

    /// A resumed run removes the steps after its checkpoint, and repeats them.
    @Test(arguments: [1, 6]) func repeatedStepsAreCountedOnce(_ count: Int) throws {
        let first = JSONLinesLog(path: log)
        try first.onTrainStart(Self.run, after: 0)
        for iteration in 1...5 { try first.onStepEnd(Self.step(iteration, loss: 9)) }
        try first.onTrainEnd(.success(Trainer.Outcome(end: .interrupted, iteration: 5)))
        let monitor = try RunMonitor(log)
        let second = JSONLinesLog(path: log)
        try second.onTrainStart(Self.run, after: 2)
        for iteration in 3..<3 + count { try second.onStepEnd(Self.step(iteration, loss: 1.25)) }
        try monitor.refresh()
        #expect(monitor.steps.map(\.iteration) == Array(1..<3 + count))
        #expect(monitor.steps.map(\.loss) == [9, 9] + [Double](repeating: 1.25, count: count))
    }

    @Test func otherFilesAreRefused() throws {
        func message(_ path: String) -> String {
            do {
                _ = try RunMonitor(path)
                return ""
            } catch { return (error as? BridgeError)?.message ?? "\(error)" }
        }
        try Files.createDirectory(scratch.path("empty"))
        #expect(message(scratch.path("empty")).contains("has no log"))
        #expect(message(scratch.path("nowhere")).contains("has no log"))
        for text in ["hello\n", "[1]\n", "{\"iteration\": 1}\n", "{\"iteration\": -4, \"lm_loss\": 1}\n", "\u{0}\n"] {
            try scratch.write(Array(text.utf8), to: "other.jsonl")
            #expect(message(scratch.path("other.jsonl")).contains("a line that is not a step"), "\(text)")
        }
        // A run that has just started.
        try scratch.write([], to: "new.jsonl")
        #expect(try RunMonitor(scratch.path("new.jsonl")).steps.isEmpty)
    }

    /// Eight by eight points, of which the diagonal is set: two across and four up in each character.
    @Test func aFallingLossIsADiagonal() throws {
        let plot = TextPlot(width: 14, height: 2)
        let steps = [Self.step(1, loss: 1), Self.step(2, loss: 0)]
        let first: [UInt32] = [0x01 | 0x10, 0x04 | 0x80]
        let cells = String(String.UnicodeScalarView(first.compactMap { Unicode.Scalar(0x2800 + $0) }))
        #expect(
            plot.lines(steps: steps, validations: []) == [
                "       1 ┤\(cells)", "       0 ┤  \(cells)", "          1  2",
            ]
        )
        let marked = plot.lines(
            steps: steps,
            validations: [ValidationRecord(iteration: 2, loss: 1, perplexity: 1, seconds: 1)]
        )
        #expect(marked.first == "       1 ┤\(cells) ○")
        #expect(plot.lines(steps: [Self.step(1, loss: .nan)], validations: []).isEmpty)
    }

    @Test(arguments: [1, 2, 57, 3000]) func aPlotHasItsSize(_ count: Int) {
        let steps = (1...count).map { Self.step($0, loss: 3 + 9 / Double($0)) }
        let lines = TextPlot(width: 60, height: 9).lines(steps: steps, validations: [])
        #expect(lines.count == 10 && lines.allSatisfy { $0.count <= 60 }, "\(lines)")
    }
}
