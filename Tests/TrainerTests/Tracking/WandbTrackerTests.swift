import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Trainer

/// The pipe to the package wandb, which is a small module here; `make test-peers` has the real one.
@Suite(.enabled(if: TrackedRun.hasPython)) struct WandbTrackerTests {
    private let scratch: TemporaryDirectory
    private var section = Recipe.LoggerSection()

    /// Notes each call as a line of JSON; `FAULT` is what goes wrong.
    private static let module = """
        import json, os, sys
        class Settings:
            model_fields = {"x_stats_pid": None}
            def __init__(self, **options): self.options = options
        def note(**values):
            with open(os.environ["CALLS"], "a") as file: file.write(json.dumps(values) + "\\n")
        class Run:
            offline, url = True, None
            def __init__(self, id): self.id, self.dir = id, os.path.join("files", "of", "run")
            def log(self, values, step):
                if os.environ["FAULT"] == "die" and step == 2: sys.exit("killed by the test")
                if os.environ["FAULT"] == "log" and step == 2: raise ValueError("no such step")
                note(step=step, values={key: "NaN" if value != value else value for key, value in values.items()})
            def finish(self, exit_code): note(finish=exit_code)
        def init(settings, **given):
            if os.environ["FAULT"] == "init": raise RuntimeError("no account\\nlog in first")
            print("chatter on standard output")
            note(init=given, options=sorted(settings.options))
            return Run(given.get("id", "abc123"))
        """

    init() throws {
        scratch = try TemporaryDirectory()
        try Files.createDirectory(scratch.path("modules"))
        try scratch.write(Array(Self.module.utf8), to: "modules/wandb.py")
        section.wandbProject = "project"
        section.logDir = scratch.path("logs")
    }

    /// A Python that finds the module; without `modules` it finds none.
    private func python(fault: String = "", modules: String = "modules") throws -> String {
        let text = """
            #!/bin/sh
            export PYTHONPATH='\(scratch.path(modules))' PYTHONNOUSERSITE=1 CALLS='\(scratch.path("calls.jsonl"))' FAULT='\(fault)'
            exec python3 -S "$@"

            """
        let name = "python-\(fault)\(modules)"
        try scratch.write(Array(text.utf8), to: name)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: scratch.path(name))
        return scratch.path(name)
    }

    private func calls() throws -> [JSON] {
        try String(contentsOfFile: scratch.path("calls.jsonl"), encoding: .utf8).split(separator: "\n").map {
            try JSON(parsing: Array($0.utf8))
        }
    }

    private func run(_ tracker: WandbTracker, after: Int = 0, end: Trainer.End = .done) throws {
        try tracker.onTrainStart(TrackedRun.metadata, after: after)
        try tracker.onStepEnd(TrackedRun.step(after + 1, loss: 2))
        try tracker.onStepEnd(TrackedRun.step(after + 2, loss: .infinity))
        try tracker.onEvaluate(TrackedRun.validation)
        try tracker.onTrainEnd(TrackedRun.end(end))
    }

    @Test func everyValueArrivesUnderItsStep() throws {
        var section = section
        (section.wandbEntity, section.wandbExpName, section.wandbSaveDir) = ("team", "name", scratch.path("files"))
        try run(WandbTracker(section, python: python(), logger: TrackedRun.silent))
        let calls = try calls()
        let given: JSON = [
            "project": "project", "entity": "team", "name": "name", "dir": .string(scratch.path("files")),
            "config": TrackedRun.configuration,
        ]
        #expect(calls.count == 5)
        #expect(calls[0]["init"] == given && calls[0]["options"] == ["console", "silent", "x_stats_pid"])
        let step: JSON = [
            "lm loss": 2.0, "learning-rate": 0.125, "grad-norm": 1.5, "batch-size": 4.0, "iteration-time": 0.5,
            "consumed-samples": 4.0, "tokens-per-second": 200.0, "throughput/tflops": 6.0,
        ]
        #expect(calls[1]["step"] == 1 && calls[1]["values"] == step, "\(calls[1])")
        #expect(calls[2][path: "step"] == 2 && calls[2]["values"]?["lm loss"] == "NaN")
        let validation: JSON = [
            "lm loss validation": 0.75, "lm loss validation ppl": 2.25, "token accuracy validation": 0.5,
            "lm loss validation/größe": 0.25,
        ]
        #expect(calls[3]["step"] == 2 && calls[3]["values"] == validation)
        #expect(calls[4] == ["finish": 0])
    }

    @Test func aResumedRunContinuesTheSameRun() throws {
        let python = try python()
        try run(WandbTracker(section, python: python, logger: TrackedRun.silent), end: .interrupted)
        try run(WandbTracker(section, python: python, logger: TrackedRun.silent), after: 2)
        try run(WandbTracker(section, python: python, logger: TrackedRun.silent))
        let starts = try calls().compactMap { $0["init"] }
        #expect(starts.map { $0["id"] } == [nil, "abc123", nil])
        #expect(starts.map { $0["resume"] } == [nil, "allow", nil])
        #expect(try calls().compactMap { $0["finish"] } == [255, 0, 0])
    }

    @Test func aFailedRunIsReported() throws {
        let tracker = try WandbTracker(section, python: python(), logger: TrackedRun.silent)
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        try tracker.onTrainEnd(.failure(BridgeError(.badArgument, "no")))
        #expect(try calls().last == ["finish": 1])
    }

    @Test func aRunThatDisappearsEndsAsFailed() throws {
        var tracker: WandbTracker? = try WandbTracker(section, python: python(), logger: TrackedRun.silent)
        try tracker?.onTrainStart(TrackedRun.metadata, after: 0)
        tracker = nil
        try wait(until: "the script ends") { try calls().last == ["finish": 1] }
    }

    @Test func aPackageThatCannotBeUsedIsAnErrorBeforeTheFirstStep() throws {
        func start(_ python: String) -> String {
            TrackedRun.message {
                try WandbTracker(section, python: python, logger: TrackedRun.silent)
                    .onTrainStart(TrackedRun.metadata, after: 0)
            }
        }
        let missing = try start(python(modules: "none"))
        #expect(missing.contains("No module named 'wandb'") && missing.contains("WANDB_MODE=disabled"), "\(missing)")
        let account = try start(python(fault: "init"))
        #expect(account.contains("RuntimeError: no account log in first; it needs"), "\(account)")
        let program = start("/nowhere/python")
        #expect(program.contains("/nowhere/python") && program.contains("ended with status 127"), "\(program)")
    }

    @Test(arguments: [("die", "status 1: killed by the test"), ("log", "ValueError: no such step")])
    func aPackageThatFailsLaterIsAnErrorOfItsOwn(_ fault: String, _ reason: String) throws {
        let tracker = try WandbTracker(section, python: python(fault: fault), logger: TrackedRun.silent)
        try tracker.onTrainStart(TrackedRun.metadata, after: 0)
        var message = ""
        // What was sent may be read after the call.
        try wait(until: "the failure is known") {
            message = TrackedRun.message { try tracker.onStepEnd(TrackedRun.step(2, loss: 2)) }
            return !message.isEmpty
        }
        #expect(
            message.hasPrefix("Weights & Biases does not receive the run any more") && message.contains(reason),
            "\(message)"
        )
    }
}
