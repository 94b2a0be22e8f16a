import BridgeCore
import Foundation
import JSONTree
import TestSupport

@testable import Trainer

/// The events of a short run, for trackers.
enum TrackedRun {
    /// Whether there is a Python for the scripts.
    static let hasPython = ["/usr/bin/python3", "/usr/local/bin/python3", "/bin/python3"].contains {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    static let configuration: JSON = [
        "train": ["train_iters": 3, "names": ["a", "b"]], "model": ["family": "mistral"], "empty": [:],
    ]

    static let metadata = RunMetadata(name: "tiny", metadata: [], configuration: configuration)

    static func step(_ iteration: Int, loss: Double) -> StepRecord {
        StepRecord(
            iteration: iteration,
            totalIterations: 3,
            consumedSamples: 4 * iteration,
            seconds: 0.5,
            tokens: 100,
            trainedTokens: 50,
            learningRate: 0.125,
            globalBatchSize: 4,
            loss: loss,
            gradientNorm: 1.5,
            operations: 3e12
        )
    }

    static let validation = ValidationRecord(
        iteration: 2,
        loss: 0.75,
        perplexity: 2.25,
        tokenAccuracy: 0.5,
        seconds: 1,
        parts: [ValidationRecord.Part(name: "größe", loss: 0.25)]
    )

    static func end(_ end: Trainer.End = .done) -> Result<Trainer.Outcome, any Error> {
        .success(Trainer.Outcome(end: end, iteration: 3))
    }

    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// The message of an error.
    static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }
}
