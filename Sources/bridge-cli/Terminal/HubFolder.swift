import BridgeCore
import Foundation
import Synchronization

/// The folders that commands are given: those that are here, and those of repositories on the hub, by their ids.
///
/// Every command comes through here, so that a download looks the same and is stopped the same way everywhere.
enum HubFolder {
    private static let bar = ProgressBar()

    /// The hub that the environment describes, with a progress bar where a person is watching.
    static func hub(_ freshness: Hub.Freshness = .whenMissing) -> Hub {
        let arguments = CommandLine.arguments
        let isWatched =
            isatty(STDERR_FILENO) == 1 && !arguments.contains("--json") && !arguments.contains("--no-progress")
        let show: @Sendable (BridgeCore.Progress) -> Void = { progress in
            bar.show(progress)
            if progress.doneBytes >= progress.totalBytes { bar.finish() }
        }
        let context = RunContext(progress: isWatched ? show : nil, cancellation: Interrupt.cancellation)
        let environment = HubEnvironment(variables: ProcessInfo.processInfo.environment)
        return Hub(environment: environment, context: context, freshness: freshness)
    }

    /// The folder that a person means, downloaded where it is not here.
    static func resolve(_ text: String, for purpose: HubPurpose = .model) throws -> String {
        try watched { try $0.folder(of: text, for: purpose) }
    }

    /// The processor of a model of any kind, of which no weights are needed.
    static func processor(_ text: String, _ catalog: PluginCatalog) throws -> any ModelProcessor {
        try AutoBridge.forProcessing(resolve(text, for: .processor), catalog: catalog).processor()
    }

    /// Does something with the hub; Ctrl-C then ends it in good order, so that what has come is gone on with.
    static func watched<Result>(
        _ freshness: Hub.Freshness = .whenMissing,
        _ body: (Hub) throws -> Result
    ) throws -> Result {
        defer { bar.finish() }
        return try Interrupt.inGoodOrder { try body(hub(freshness)) }
    }
}
