public import BridgeCore
import Foundation
import JSONTree
public import Logging

/// Sends a run to Weights & Biases, by the package `wandb` of the user's Python.
///
/// The package is fed over a pipe. Account, server and mode are those of its environment: `WANDB_API_KEY`, `WANDB_BASE_URL`,
/// `WANDB_MODE` and so on. A resumed run continues the same run there, whose id is kept beside the log.
public final class WandbTracker: TrainerCallback {
    /// The file with the id of the run, in `logger.log_dir`.
    public static let fileName = "wandb_run.json"

    private let section: Recipe.LoggerSection
    private let python: String
    private let logger: Logger
    private var feed: PythonFeed?

    /// The longest that the package may take to start a run, in seconds: more than its own limit.
    private static let longestStart = 150.0
    /// The longest that it may take at the end to send what it has, in seconds.
    private static let longestEnd = 120.0

    /// A tracker.
    ///
    /// - Parameters:
    ///   - section: The settings; `wandbProject` is not empty.
    ///   - python: The user's Python.
    ///   - logger: Receives the address of the run.
    public init(_ section: Recipe.LoggerSection, python: String, logger: Logger) {
        (self.section, self.python, self.logger) = (section, python, logger)
    }

    /// Starts a run, or continues that of the log.
    ///
    /// - Throws: `BridgeError` without the package, and when it starts no run.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
        let directory = section.wandbSaveDir.isEmpty ? section.logDir : section.wandbSaveDir
        try Files.createDirectory(directory)
        let kept = iteration > 0 ? Self.stored(section) : nil
        func given(_ text: String) -> JSON { text.isEmpty ? .null : .string(text) }
        let feed = try PythonFeed(Self.script, program: python)
        let response: JSON
        do {
            try feed.send([
                "project": .string(section.wandbProject), "entity": given(section.wandbEntity),
                "name": given(section.wandbExpName.isEmpty ? run.name : section.wandbExpName),
                "dir": .string(directory), "id": kept.map { .string($0) } ?? .null, "config": run.configuration,
                "pid": JSON(Int(getpid())),
            ])
            guard let first = try feed.response(within: Self.longestStart) else {
                throw BridgeError(.network, "\(python) has started no run within \(Int(Self.longestStart)) seconds")
            }
            if let problem = first["error"]?.string { throw BridgeError(.badConfiguration, problem) }
            response = first
        } catch let error as BridgeError {
            throw BridgeError(
                error.code,
                "logger.wandb_project is \(section.wandbProject), and Weights & Biases cannot be used: \(error.message); it needs the "
                    + "package wandb in \(python) (BRIDGE_PYTHON names another Python) and WANDB_API_KEY, or WANDB_MODE=offline; "
                    + "WANDB_MODE=disabled trains without it"
            )
        }
        self.feed = feed
        if let id = response["id"]?.string {
            let row: JSON = ["id": .string(id), "project": .string(section.wandbProject)]
            try Files.createDirectory(section.logDir)
            try Files.replace(Files.join(section.logDir, Self.fileName), with: row.text() + [10])
        }
        if let address = response["url"]?.string {
            logger.notice("Weights & Biases: \(address)")
        } else if let path = response["sync"]?.string {
            logger.notice("Weights & Biases is offline; 'wandb sync \(path)' sends the run")
        }
    }

    /// Sends a step.
    public func onStepEnd(_ step: StepRecord) throws { try log(step.scalars, step.iteration) }

    /// Sends a validation.
    public func onEvaluate(_ validation: ValidationRecord) throws { try log(validation.scalars, validation.iteration) }

    /// Ends the run there, and waits until everything is sent.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        guard let feed else { return }
        self.feed = nil
        let code =
            switch result {
            case .success(let outcome) where outcome.end == .interrupted: Self.killed
            case .success: 0
            case .failure: 1
            }
        do {
            try feed.send(["finish": JSON(code)])
            guard try feed.response(within: Self.longestEnd) == nil else { return feed.close() }
        } catch { throw Self.lost(error) }
        logger.warning("Weights & Biases has not received all of the run yet; \(python) continues to send it")
    }

    /// The exit code of a run that was interrupted, for the package.
    private static let killed = 255

    private func log(_ scalars: [(tag: String, value: Double)], _ iteration: Int) throws {
        let values = scalars.map { ($0.tag, $0.value.isFinite ? JSON($0.value) : .null) }
        do { try feed?.send(["log": .object(JSONObject(values)), "step": JSON(iteration)]) } catch {
            throw Self.lost(error)
        }
    }

    private static func lost(_ error: any Error) -> BridgeError {
        let known = error as? BridgeError
        return BridgeError(
            known?.code ?? .network,
            "Weights & Biases does not receive the run any more: \(known?.message ?? "\(error)")"
        )
    }

    /// The id of the run to continue.
    private static func stored(_ section: Recipe.LoggerSection) -> String? {
        (try? JSON(contentsOf: Files.join(section.logDir, fileName)))?["id"]?.string
    }

    /// Reads the settings of a run and then its values, a line each; a value that is not finite is null.
    private static let script = """
        import json, os, signal, sys
        # A signal is for the run; this process ends when the run closes its pipe.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

        def reply(**values):
            replies.write(json.dumps(values) + "\\n")
            replies.flush()

        def fail(error):
            text = " ".join(str(error).split())
            try:
                reply(error=f"{type(error).__name__}: {text}")
            except OSError:
                pass
            sys.exit(1)

        first = json.loads(lines.readline())
        try:
            import wandb
            options = {"console": "off", "silent": True}
            # The memory and the processor time of the run, not of this process.
            if "x_stats_pid" in getattr(wandb.Settings, "model_fields", {}):
                options["x_stats_pid"] = first["pid"]
            given = {key: first[key] for key in ("project", "entity", "name", "dir", "config") if first[key] is not None}
            if first["id"] is not None:
                given.update(id=first["id"], resume="allow")
            run = wandb.init(settings=wandb.Settings(**options), **given)
            # The directory of a run is that of its files.
            if getattr(run, "offline", False):
                reply(id=run.id, sync=os.path.dirname(run.dir))
            else:
                reply(id=run.id, url=getattr(run, "url", None))
        except Exception as error:
            fail(error)
        code = 1
        try:
            for line in lines:
                message = json.loads(line)
                if "finish" in message:
                    code = message["finish"]
                    break
                values = {key: float("nan") if value is None else value for key, value in message["log"].items()}
                run.log(values, step=message["step"])
            run.finish(exit_code=code)
            reply(finished=True)
        except Exception as error:
            fail(error)
        """
}
