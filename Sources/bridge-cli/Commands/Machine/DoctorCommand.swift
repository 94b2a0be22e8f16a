import ArgumentParser
import BridgeCore
import Diagnosis
import Foundation
import JSONTree

/// Checks whether the program works on this machine.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check this machine: libraries, processor, plugins, MPI, memory, disk, hub.",
        discussion: """
            One line for each check, with what to do if it fails; the status is 1 then. A warning is about something slow, or \
            about a part of the program that is not usable here. The checks take a few seconds, at most 10.

            EXAMPLES:
              bridge doctor
              bridge doctor --json
            """
    )

    @OptionGroup var output: OutputOptions

    func run() throws {
        let variables = ProcessInfo.processInfo.environment
        let checkup = Checkup(
            hub: Hub(environment: HubEnvironment(variables: variables)),
            pluginDirectories: PluginOptions.directories,
            threadCount: ThreadOptions.standardCount,
            variables: variables
        )
        let width = checkup.checks.map(\.name.count).max() ?? 0
        let findings = checkup.run { check, finding in
            let name = check.name + String(repeating: " ", count: width - check.name.count)
            output.say("\(Self.mark(finding.status))  \(name)  \(finding.sentence)")
        }
        if output.json { Output.json(Checkup.json(findings)) }
        let failed = findings.count { $0.finding.status == .failed }
        guard failed == 0 else {
            Output.printError("\(Failure.prefix)\(failed) of \(findings.count) checks failed")
            throw ExitCode.failure
        }
    }

    /// A status in as many columns as every other.
    private static func mark(_ status: Finding.Status) -> String {
        switch status {
        case .ok: Style.green("ok     ")
        case .warning: Style.yellowResult("warning")
        case .failed: Style.redResult("failed ")
        }
    }
}
