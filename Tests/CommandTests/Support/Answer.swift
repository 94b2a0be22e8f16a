import Foundation
import JSONTree
import TestSupport
import Testing

/// What `bridge generate --json` prints.
struct Answer {
    let json: JSON

    /// Runs it.
    init(_ arguments: [String]) throws {
        let outcome = try BridgeProcess(["generate"] + arguments + ["--json"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        json = try JSON(parsing: Array(outcome.output.utf8))
    }

    /// A document that a run printed.
    init(_ output: String) throws { json = try JSON(parsing: Array(output.utf8)) }

    var text: String { json["text"]?.string ?? "" }
    var tokens: [Int] { json["token_ids"]?.array?.compactMap(\.integer) ?? [] }
    var logProbabilities: [Double] { json["logprobs"]?.array?.compactMap(\.double) ?? [] }
    var reason: String { json["finish_reason"]?.string ?? "" }
}
