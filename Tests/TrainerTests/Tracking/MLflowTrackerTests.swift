import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Trainer

/// MLflow's REST interface, against a server with its limits (Tests/HubServer/mlflow_server.py); `make test-peers` has the real one.
@Suite struct MLflowTrackerTests {
    private let scratch: TemporaryDirectory
    private let address: String
    private let server: PythonServer
    private var section = Recipe.LoggerSection()

    init() throws {
        scratch = try TemporaryDirectory()
        server = try PythonServer("mlflow_server.py", [scratch.path, "--token", "secret"])
        address = try #require(server.announcement["address"]?.string)
        (section.mlflowExperiment, section.logDir) = ("tuning / größe", scratch.path("logs"))
        section.mlflowTrackingURI = "\(address)/"
    }

    private func tracker(_ section: Recipe.LoggerSection? = nil, token: String = "secret") throws -> MLflowTracker {
        let section = section ?? self.section
        return MLflowTracker(
            section,
            server: try MLflowTracker.Server(section, environment: ["MLFLOW_TRACKING_TOKEN": token]),
            settings: HTTPSettings(),
            retryPolicy: RetryPolicy(attempts: 2, initialBackoff: 0.01, longestPause: 0.01),
            logger: TrackedRun.silent
        )
    }

    private func state() throws -> JSON { try JSON(contentsOf: scratch.path("state.json")) }

    private func runs() throws -> [JSON] { (try state()["runs"]?.object ?? JSONObject()).map(\.value) }

    /// A metric of a run, as step and value.
    private func values(_ run: JSON, _ key: String) -> [[JSON?]] {
        (run["metrics"]?.array ?? []).filter { $0["key"]?.string == key }.map { [$0["step"], $0["value"]] }
    }

    @Test func everyValueArrivesWithItsStep() throws {
        let tracker = try tracker()
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        try tracker.onStepEnd(TrackedRun.step(1, loss: 2))
        try tracker.onStepEnd(TrackedRun.step(2, loss: .nan))
        try tracker.onEvaluate(TrackedRun.validation)
        try tracker.onStepEnd(TrackedRun.step(3, loss: -.infinity))
        try tracker.onTrainEnd(TrackedRun.end())
        let run = try #require(try runs().first)
        #expect(values(run, "lm loss") == [[1, 2.0], [2, "NaN"], [3, "-Infinity"]])
        #expect(values(run, "tokens-per-second") == [[1, 200.0], [2, 200.0], [3, 200.0]])
        #expect(values(run, "lm loss validation") == [[2, 0.75]])
        // Letters of other alphabets are not allowed in a name.
        #expect(values(run, "lm loss validation/gr__e") == [[2, 0.25]])
        #expect(
            run["params"] == [
                "train.train_iters": "3", "train.names": #"["a","b"]"#, "model.family": "mistral", "empty": "{}",
            ]
        )
        #expect(run["status"] == "FINISHED" && run["end_time"]?.integer ?? 0 >= run["start_time"]?.integer ?? .max)
        #expect(try state()[path: "experiments.1.name"]?.string == "tuning / größe")
    }

    @Test func manyValuesAreSentInParts() throws {
        var object = JSONObject()
        for number in 0..<230 {
            object["key\(number)"] = .string(String(repeating: "x", count: number == 7 ? 251 : 250))
        }
        let tracker = try tracker()
        try tracker.onTrainStart(RunMetadata(name: "many", metadata: [], configuration: .object(object)), after: 0)
        for iteration in 1...300 { try tracker.onStepEnd(TrackedRun.step(iteration, loss: Double(iteration))) }
        try tracker.onTrainEnd(TrackedRun.end())
        let run = try #require(try runs().first)
        #expect(run["params"]?.object?.count == 230 && run[path: "params.key7"]?.string?.hasSuffix("x…") == true)
        #expect(values(run, "lm loss") == (1...300).map { [JSON($0), JSON(Double($0))] })
    }

    @Test func aResumedRunContinuesTheSameRun() throws {
        for (after, end) in [(0, Trainer.End.interrupted), (2, .done), (0, .done)] {
            let tracker = try tracker()
            try tracker.onTrainStart(TrackedRun.metadata, after: after)
            #expect(try runs().last?["status"] == "RUNNING")
            try tracker.onStepEnd(TrackedRun.step(after + 1, loss: 1))
            try tracker.onTrainEnd(TrackedRun.end(end))
            if end == .interrupted { #expect(try runs().last?["status"] == "KILLED") }
        }
        let runs = try runs()
        #expect(runs.map { values($0, "lm loss") } == [[[1, 1.0], [3, 1.0]], [[1, 1.0]]])
        #expect(try state()["experiments"]?.object?.count == 1)
    }

    @Test func aFailedRunIsReported() throws {
        var named = section
        named.mlflowRunName = "a name"
        let tracker = try tracker(named)
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        try tracker.onTrainEnd(.failure(BridgeError(.badArgument, "no")))
        #expect(try runs().map { [$0["status"], $0["name"]] } == [["FAILED", "a name"]])
    }

    @Test func aServerThatCannotBeUsedIsAnErrorBeforeTheFirstStep() throws {
        func start(_ address: String, token: String = "secret") -> String {
            TrackedRun.message {
                var section = section
                section.mlflowTrackingURI = address
                try tracker(section, token: token).onTrainStart(TrackedRun.metadata, after: 0)
            }
        }
        let refused = start(address, token: "wrong")
        #expect(refused.contains("with status 401: who are you; check MLFLOW_TRACKING_TOKEN"), "\(refused)")
        let elsewhere = start("\(address)/elsewhere")
        #expect(elsewhere.contains("with status 404"), "\(elsewhere)")
        let closed = start("http://127.0.0.1:9")
        #expect(closed.hasPrefix("MLflow at http://127.0.0.1:9 cannot be reached"), "\(closed)")
        for wrong in ["mlruns", "file:///tmp/mlruns", "databricks", "sqlite:///a.db"] {
            #expect(start(wrong).contains("expected the address of a server, http:// or https://"), "\(wrong)")
        }
        #expect(start("http://me:secret@127.0.0.1").contains("MLFLOW_TRACKING_USERNAME"))
        #expect(start("").contains("there is no server; set logger.mlflow_tracking_uri"))
        #expect(!Files.exists(scratch.path("logs/mlflow_run.json")))
    }

    @Test func theEnvironmentHasTheAddressAndTheAccount() throws {
        var section = Recipe.LoggerSection()
        section.mlflowExperiment = "e"
        let variables = [
            "MLFLOW_TRACKING_URI": address, "MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "pass",
        ]
        let server = try MLflowTracker.Server(section, environment: variables)
        // RFC 7617: base64 of "me:pass".
        #expect(server.address == address && server.authorization == "Basic bWU6cGFzcw==")
        section.mlflowTrackingURI = "https://other"
        #expect(try MLflowTracker.Server(section, environment: variables).address == "https://other")
    }

    @Test func aServerThatFailsLaterIsAnErrorOfItsOwn() throws {
        let tracker = try tracker()
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        try tracker.onStepEnd(TrackedRun.step(1, loss: 2))
        try scratch.write(Array("500".utf8), to: "status")
        let message = TrackedRun.message { try tracker.onTrainEnd(TrackedRun.end()) }
        #expect(message == "MLflow responds to runs/log-batch with status 500: the database is down", "\(message)")
    }

    /// A request is sent at the latest with a thousand values, that is after 125 steps of eight.
    @Test func aServerThatIsDownForAWhileGetsEveryValue() throws {
        let tracker = try tracker()
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        try scratch.write(Array("503".utf8), to: "status")
        for iteration in 1...130 { try tracker.onStepEnd(TrackedRun.step(iteration, loss: Double(iteration))) }
        try wait(until: "the request is refused twice") {
            let log = try String(contentsOfFile: scratch.path("requests.jsonl"), encoding: .utf8)
            // That of the parameters was before.
            return log.components(separatedBy: "runs/log-batch").count >= 4
        }
        for iteration in 131...300 { try tracker.onStepEnd(TrackedRun.step(iteration, loss: Double(iteration))) }
        try FileManager.default.removeItem(atPath: scratch.path("status"))
        try tracker.onTrainEnd(TrackedRun.end())
        let run = try #require(try runs().first)
        #expect(values(run, "lm loss") == (1...300).map { [JSON($0), JSON(Double($0))] })
        #expect(run["status"] == "FINISHED")
    }
}
