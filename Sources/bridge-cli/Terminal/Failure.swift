import ArgumentParser
import BridgeCore
import Glibc
import JSONTree

/// Tells the user what went wrong, and the shell how.
enum Failure {
    /// The exit status of each kind of error; every other one is 1.
    private static let statuses: [BridgeError.Code: Int32] = [
        .unaccountedTensors: 2, .verificationFailed: 3, .corruptInput: 4, .trainingDiverged: 5,
        .badArgument: 64, .missingSplit: 64, .cancelled: 130,
    ]

    /// Prints an error and ends the process.
    static func report(_ error: BridgeError) -> Never {
        if ArgumentList.wantsJSON, !Output.hasPrintedJSON {
            Output.json([
                "error": [
                    "code": .string(error.code.description),
                    "message": .string(error.message),
                    "names": .array(error.names.map { .string($0) }),
                ]
            ])
        }
        Output.complain("\(Style.bold(Style.red("error:"))) \(error.message)")
        for name in error.names.prefix(mostNames) { Output.complain("  \(name)") }
        if error.names.count > mostNames, !ArgumentList.wantsJSON {
            Output.complain("  and \(error.names.count - mostNames) more; --json lists them all")
        }
        exit(statuses[error.code] ?? 1)
    }

    /// The whole list is what a user needs; a terminal still has an end.
    private static let mostNames = 10000
}
