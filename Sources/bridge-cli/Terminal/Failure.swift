import ArgumentParser
import BridgeCore
import Foundation
import Glibc
import Imaging
import JSONTree
import Parquet
import TensorRuntime
import Tokenizers

/// Reports errors, and sets the exit status.
///
/// All errors of the program are reported here.
enum Failure {
    /// The exit status of each kind of error; every other one is 1.
    private static let statuses: [BridgeError.Code: Int32] = [
        .badLayout: 64,
        .unaccountedTensors: 2, .verificationFailed: 3, .corruptInput: 4, .trainingDiverged: 5,
        .badArgument: 64, .missingSplit: 64, .cancelled: 130,
    ]

    /// The prefix of all errors.
    static let prefix = "\(Style.bold(Style.red("error:"))) "

    /// Reports an error and ends the process.
    static func report(_ error: any Error, _ words: CommandWords) -> Never {
        if let error = error as? BridgeError { report(error) }
        let code = BridgeCommand.exitCode(for: error)
        if error is ExitCode { end(code.rawValue) }
        switch code {
        case .success:
            // The text of --help and --version.
            Output.lines(BridgeCommand.fullMessage(for: error))
            end(0)
        case .validationFailure:
            reportUsage(BridgeCommand.message(for: error), BridgeCommand.fullMessage(for: error), words)
        default: report(described(error))
        }
    }

    /// Reports an invalid command line, with the usage of its command.
    static func reportUsage(_ problem: String, _ words: CommandWords) -> Never {
        let usage = BridgeCommand.usageString(for: words.command)
        let help = "  See '\(words.commandName) --help' for more information."
        reportUsage(problem, "\(prefix)\(problem)\nUsage: \(usage)\n\(help)", words)
    }

    /// Converts an error of another type, so that every error has a status and a JSON document.
    static func described(_ error: any Error) -> BridgeError {
        switch error {
        case let error as BridgeError: error
        case is JSONError, is TokenizerError, is TemplateError, is ImageError, is ParquetError:
            BridgeError(.corruptInput, "\(error)")
        case is InstructionLevel.LimitError: BridgeError(.badArgument, "\(error)")
        case let error as DecodingError: BridgeError(.corruptInput, "\(error)")
        default: BridgeError(.fileSystem, (error as NSError).localizedDescription)
        }
    }

    /// Ends the process with a status, or with 1 if it is 0 and standard output could not be written.
    static func end(_ status: Int32) -> Never {
        let output = Output.finish()
        Ranks.leave(status == 0 ? output : status)
        exit(status == 0 ? output : status)
    }

    private static func report(_ error: BridgeError) -> Never {
        if OutputMode.current.json, !Output.hasPrintedJSON {
            Output.json(document(code: error.code.description, message: error.message, names: error.names))
        }
        Ranks.waitToReport(error.code)
        if error.code == .reportedByOtherRank { end(1) }
        let rank = OutputMode.current.rank.map { "rank \($0): " } ?? ""
        let lines = [prefix + rank + error.message] + error.names.prefix(mostNames).map { "  \($0)" }
        for line in lines { Output.reportError(line) }
        if error.names.count > mostNames, !OutputMode.current.json {
            Output.printError("  and \(error.names.count - mostNames) more; --json lists them all")
        }
        end(statuses[error.code] ?? 1)
    }

    /// Reports invalid arguments: a sentence, and a text that starts with it, followed by the usage.
    private static func reportUsage(_ message: String, _ text: String, _ words: CommandWords) -> Never {
        if words.mode.json, !Output.hasPrintedJSON {
            Output.json(document(code: "usage", message: message, names: []))
        }
        var text = text
        // Line breaks of the parser are kept, those in arguments are escaped.
        for word in words.typed where word.unicodeScalars.contains(where: PrintableText.isControl) {
            let value = word.split(separator: "=", maxSplits: 1).suffix(1).map(String.init)
            for part in [word] + value where !part.allSatisfy(\.isWhitespace) {
                text = text.replacing(part, with: PrintableText.line(part))
            }
        }
        Ranks.waitToReport(.badArgument)
        Output.complainLines(text)
        end(ExitCode.validationFailure.rawValue)
    }

    private static func document(code: String, message: String, names: [String]) -> JSON {
        [
            "error": [
                "code": .string(code), "message": .string(message), "names": .array(names.map { .string($0) }),
            ]
        ]
    }

    /// The maximum number of names printed on a terminal.
    private static let mostNames = 10000
}
