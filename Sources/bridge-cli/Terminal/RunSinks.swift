import BridgeCore
import Datasets
import Trainer

/// The receivers of metrics: lines on the terminal, a log, TensorBoard's files and a report.
enum RunSinks {
    static func standard(for run: TrainingRun, isSilent: Bool) throws -> [any MetricsSink] {
        let logger = run.recipe.logger
        var sinks: [any MetricsSink] = []
        if !isSilent {
            sinks.append(
                ConsoleLine(interval: logger.logInterval, hasThroughput: logger.logThroughput) { Output.line($0) }
            )
        }
        if !logger.tensorboardDir.isEmpty {
            try Files.createDirectory(logger.tensorboardDir)
            sinks.append(TensorBoardWriter(directory: logger.tensorboardDir))
        }
        if !logger.logDir.isEmpty {
            try Files.createDirectory(logger.logDir)
            sinks.append(JSONLinesLog(path: "\(logger.logDir)/\(JSONLinesLog.fileName)"))
            sinks.append(HTMLReport(path: "\(logger.logDir)/\(HTMLReport.fileName)"))
        }
        return sinks
    }
}

/// Tables of Hugging Face data sets.
enum DatasetTables {
    /// Opens a directory, or a data set of the hub; missing files of the split are downloaded.
    static let open: @Sendable (_ path: String, _ split: String) throws -> any DatasetTable = { path, split in
        try HubDirectory.watched { try HuggingFaceTable(path, split: split, hub: $0) }
    }
}
