import BridgeCore
import Datasets
import Foundation
import Trainer

/// The receivers of events: trackers, lines on the terminal, a log, TensorBoard's files and a report.
enum RunCallbacks {
    /// The callbacks of a recipe, in their order: a tracker that cannot be used ends the run before a log is changed.
    static func standard(for run: TrainingRun, isSilent: Bool) throws -> [any TrainerCallback] {
        let logger = run.recipe.logger
        var callbacks = try trackers(logger)
        if !isSilent { callbacks += console(logger) }
        if !logger.tensorboardDir.isEmpty {
            try Files.createDirectory(logger.tensorboardDir)
            callbacks.append(TensorBoardWriter(directory: logger.tensorboardDir))
        }
        if !logger.logDir.isEmpty {
            try Files.createDirectory(logger.logDir)
            callbacks.append(JSONLinesLog(path: "\(logger.logDir)/\(JSONLinesLog.fileName)"))
            callbacks.append(HTMLReport(path: "\(logger.logDir)/\(HTMLReport.fileName)"))
        }
        return callbacks
    }

    private static func console(_ logger: Recipe.LoggerSection) -> [any TrainerCallback] {
        let (interval, hasThroughput) = (logger.logInterval, logger.logThroughput)
        let isCompact = logger.format == .compact || logger.format == .auto && Output.isTerminal
        guard isCompact else {
            return [ConsoleLine(interval: interval, hasThroughput: hasThroughput) { Output.line($0) }]
        }
        let lines = CompactLine(interval: interval, hasThroughput: hasThroughput) { Output.line($0) }
        return Output.isTerminal && OutputMode.current.showsProgress ? [lines, LiveLine()] : [lines]
    }

    private static func trackers(_ logger: Recipe.LoggerSection) throws -> [any TrainerCallback] {
        let environment = ProcessInfo.processInfo.environment
        var trackers: [any TrainerCallback] = []
        if !logger.wandbProject.isEmpty {
            if environment["WANDB_MODE"] == "disabled" {
                Output.printError("note: WANDB_MODE is disabled, so nothing is sent to Weights & Biases")
            } else {
                trackers.append(WandbTracker(logger, python: UserPython.program, logger: Watch.logger))
            }
        }
        if !logger.mlflowExperiment.isEmpty {
            let server = try MLflowTracker.Server(logger, environment: environment)
            trackers.append(MLflowTracker(logger, server: server, logger: Watch.logger))
        }
        return trackers
    }

    /// Whether a variable of the environment is a tracker's.
    static func isOfTracker(_ name: String) -> Bool {
        name == UserPython.variable || ["WANDB_", "MLFLOW_"].contains(where: name.hasPrefix)
    }

    /// Sets the projects of trackers that the environment names and the recipe does not.
    static func fillTrackers(of recipe: inout Recipe) {
        let environment = ProcessInfo.processInfo.environment
        let isDisabled = environment["WANDB_MODE"] == "disabled"
        if recipe.logger.wandbProject.isEmpty, !isDisabled {
            recipe.logger.wandbProject = environment["WANDB_PROJECT"] ?? ""
        }
        if recipe.logger.mlflowExperiment.isEmpty {
            recipe.logger.mlflowExperiment = environment["MLFLOW_EXPERIMENT_NAME"] ?? ""
        }
    }
}

/// Tables of Hugging Face data sets.
enum DatasetTables {
    /// Opens a directory, or a data set of the hub; missing files of the split are downloaded.
    static let open: @Sendable (_ path: String, _ split: String) throws -> any DatasetTable = { path, split in
        try HubDirectory.watched { try HuggingFaceTable(path, split: split, hub: $0) }
    }
}
