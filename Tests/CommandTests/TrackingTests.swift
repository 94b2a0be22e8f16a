import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// Trackers of a run, and a run that is watched, as the command line has them.
@Suite struct TrackingTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    private func run(_ name: String, _ settings: [String], _ variables: [String: String] = [:]) throws
        -> BridgeProcess.Outcome
    {
        let none = ["WANDB_PROJECT": "", "WANDB_MODE": "", "MLFLOW_TRACKING_URI": "", "MLFLOW_EXPERIMENT_NAME": ""]
        let environment = none.merging(["NO_PROXY": "*", "BRIDGE_PYTHON": "/nowhere/python"]) { $1 }.merging(variables)
        { $1 }
        return try BridgeProcess(bench.arguments(name) + settings, environment: environment).wait()
    }

    @Test func aTrackerThatCannotBeUsedEndsTheRunBeforeItsFirstStep() throws {
        for (name, settings, variables) in [
            ("setting", ["logger.wandb_project=p"], [:]), ("variable", [], ["WANDB_PROJECT": "p"]),
        ] as [(String, [String], [String: String])] {
            let outcome = try run(name, settings, variables)
            expect(
                outcome,
                failsWith: 1,
                mentioning: "logger.wandb_project is p",
                "/nowhere/python",
                "WANDB_MODE=disabled"
            )
            #expect(throws: (any Error).self) { try bench.log(name) }
        }
        let outcome = try run("server", ["logger.mlflow_experiment=e"])
        expect(outcome, failsWith: 64, mentioning: "logger.mlflow_experiment is e", "MLFLOW_TRACKING_URI")
        let described = try run("plan", ["logger.wandb_project=p", "--dry-run"])
        #expect(described.status == 0, "\(described.errors)")
    }

    @Test func filesOfATrackerDoNotGoIntoTheModel() throws {
        let toy = bench.scratch.path("toy")
        let outcome = try run("inside", ["logger.wandb_project=p", "logger.wandb_save_dir=\(toy)"])
        expect(outcome, failsWith: 64, mentioning: "logger.wandb_save_dir is \(toy)", "choose a directory outside it")
    }

    @Test func weightsAndBiasesCanBeDisabled() throws {
        let outcome = try run("off", ["logger.wandb_project=p"], ["WANDB_MODE": "disabled"])
        #expect(outcome.status == 0 && outcome.errors.contains("WANDB_MODE is disabled"), "\(outcome.errors)")
        let silent = try run("silent", [], ["WANDB_MODE": "disabled", "WANDB_PROJECT": "p"])
        #expect(silent.status == 0 && !silent.errors.contains("WANDB_MODE"), "\(silent.errors)")
    }

    @Test(arguments: [
        ("logger.wandb_entity=team", "logger.wandb_project is empty"),
        ("logger.wandb_exp_name=a", "logger.wandb_project is empty"),
        ("logger.wandb_save_dir=a", "logger.wandb_project is empty"),
        ("logger.mlflow_run_name=a", "logger.mlflow_experiment is empty"),
        ("logger.mlflow_tracking_uri=http://localhost", "logger.mlflow_experiment is empty"),
    ])
    func aSettingOfATrackerThatIsOffIsRefused(_ setting: String, _ reason: String) throws {
        expect(try run("off", [setting]), failsWith: 64, mentioning: "has no effect", reason)
    }

    @Test func aServerHasTheValuesOfTheLog() throws {
        try FileManager.default.createDirectory(atPath: bench.scratch.path("server"), withIntermediateDirectories: true)
        let server = try PythonServer("mlflow_server.py", [bench.scratch.path("server")])
        let address = try #require(server.announcement["address"]?.string)
        let outcome = try run("run", [], ["MLFLOW_TRACKING_URI": address, "MLFLOW_EXPERIMENT_NAME": "e"])
        #expect(
            outcome.status == 0 && outcome.errors.contains("MLflow: \(address)/#/experiments/1/runs/"),
            "\(outcome.errors)"
        )
        let state = try JSON(contentsOf: bench.scratch.path("server/state.json"))
        let run = try #require(state["runs"]?.object?.map(\.value).first)
        let losses = (run["metrics"]?.array ?? []).filter { $0["key"] == "lm loss" }
        #expect(losses.map { $0["value"] } == (try bench.log("run")).map { $0["lm_loss"] })
        #expect(losses.count == 6 && run["status"] == "FINISHED")
        #expect(run[path: "params"]?["train.train_iters"] == "6")
        #expect(run[path: "params"]?["model.architecture"] == "MistralForCausalLM")
    }

    @Test func ranksOfOtherHostsGetTheVariablesOfTrackers() {
        let names = ["WANDB_API_KEY", "HOME", "MLFLOW_TRACKING_URI", "BRIDGE_PYTHON"]
        func words(hostfile: String?) -> [String] {
            RankLauncher(ranksPerHost: 1, hostfile: hostfile, advice: "")
                .words(arguments: ["train"], program: "bridge", cores: 4, threads: nil, variables: names)
        }
        let given = words(hostfile: "hosts").joined(separator: " ")
        #expect(
            given.contains("-x BRIDGE_PYTHON -x MLFLOW_TRACKING_URI -x WANDB_API_KEY") && !given.contains("HOME"),
            "\(given)"
        )
        #expect(!words(hostfile: nil).joined(separator: " ").contains("WANDB"))
    }

    @Test func aRunIsShownFromItsDirectory() throws {
        #expect(try run("run", ["dataset.val_set_size=3", "train.eval_interval=3", "train.eval_iters=1"]).status == 0)
        let path = bench.scratch.path("run")
        let before = TemporaryDirectory.bytes(of: bench.scratch.path)
        let log = bench.scratch.path("run-log")
        expect(
            try BridgeProcess.run("train", "--watch", path),
            failsWith: 1,
            mentioning: "has no log",
            "logger.log_dir"
        )
        let shown = try BridgeProcess.run("train", "--watch", log)
        #expect(
            shown.status == 0 && shown.output.hasPrefix("\(log)/log.jsonl: finished, step 6 of 6\n"),
            "\(shown.output)"
        )
        #expect(
            shown.output.contains("┤") && shown.output.contains("○ validation ") && !shown.output.contains("\u{1B}")
        )
        let json = try JSON(parsing: Array(try BridgeProcess.run("train", "--watch", log, "--json").output.utf8))
        let last = try #require(try bench.log("run").last { $0["lm_loss"] != nil })
        #expect(json["state"] == "finished" && json["train_iters"] == 6 && json["iteration"] == 6)
        #expect(json["loss"] == last["lm_loss"] && json["seconds_left"]?.double == 0)
        let (bytes, status) = try PseudoTerminal.run(["train", "--watch", log])
        #expect(status == 0 && String(decoding: bytes, as: UTF8.self).contains("finished, step 6 of 6"))
        #expect(TemporaryDirectory.bytes(of: bench.scratch.path) == before)
    }

    @Test(arguments: ["train.train_iters=3", "--dry-run", "--verbose", "--hf-model"])
    func aWatchedRunIsNotTrained(_ word: String) throws {
        let more = word == "--hf-model" ? [word, "toy"] : [word]
        let outcome = try BridgeProcess(["train", "--watch", bench.scratch.path] + more).wait()
        expect(
            outcome,
            failsWith: 64,
            mentioning: "--watch shows a run that another process trains, so \(word) has no effect"
        )
    }
}
