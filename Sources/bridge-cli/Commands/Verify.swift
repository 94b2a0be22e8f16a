import ArgumentParser
import BridgeCore
import JSONTree

/// Compares two checkpoints.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two checkpoints of any kind, number by number.",
        discussion: """
            Either side may be a Hugging Face folder or a Megatron checkpoint of any layout. Exit status 3 says that they differ.

            EXAMPLES:
              bridge verify toy toy-megatron
              bridge verify toy toy-again --json
            """
    )

    @Argument(help: "The one checkpoint.", completion: .directory)
    var left: String

    @Argument(help: "The other checkpoint.", completion: .directory)
    var right: String

    @Option(
        name: .customLong("allow-missing"),
        help: ArgumentHelp("Tensors that may be missing or left over; may be repeated.", valueName: "glob")
    )
    var allowMissing: [String] = []

    @Flag(
        name: .customLong("ignore-dtype"),
        help: "Let tensors match when their numbers are equal and their types are not."
    )
    var ignoreDtype = false

    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: RunOptions

    func run() throws {
        let catalog = try plugins.catalog()
        let globs = allowMissing.map { NameGlob($0) }
        let one = try Checkpoint(path: left, catalog: catalog, allowMissing: globs)
        let other = try Checkpoint(path: right, catalog: catalog, allowMissing: globs)
        let result = try output.watched { try Verifier(one, other).run($0, ignoringTypes: ignoreDtype) }
        if output.json { Output.json(json(result)) } else { show(result) }
        guard result.isEqual else {
            throw BridgeError(
                .verificationFailed,
                "\(left) and \(right) differ in \(result.rows.count) of \(result.compared + result.rows.count { $0.what.hasPrefix("only") }) tensors"
                    + (result.fields.isEmpty ? "" : " and in \(result.fields.count) fields of their configurations")
            )
        }
    }

    private func show(_ result: Verifier.Result) {
        if !result.rows.isEmpty {
            Output.table(
                [["TENSOR", "SHAPE", "DIFFERENCE", "FIRST AT", "MAX ULP", "MAX DIFFERENCE"]]
                    + result.rows.map { row in
                        [
                            row.name, "\(row.shape)", row.what, row.firstDifference.map { "\($0)" } ?? "-",
                            row.maxUlp.map { "\($0)" } ?? "-", row.maxGap.map { "\(Float($0))" } ?? "-",
                        ]
                    }
            )
        }
        for field in result.fields { Output.line("configuration: \(field)") }
        if result.isEqual {
            Output.line(Style.green("✅ All \(result.compared) tensors match: \(left) and \(right) hold the same model"))
        } else {
            Output.line(Style.red("❌ \(left) and \(right) do not hold the same model"))
        }
    }

    private func json(_ result: Verifier.Result) -> JSON {
        [
            "equal": .bool(result.isEqual),
            "compared": .number(JSONNumber(result.compared)),
            "configuration": .array(result.fields.map { .string($0) }),
            "differences": .array(
                result.rows.map { row in
                    [
                        "name": .string(row.name),
                        "shape": row.shape.json,
                        "difference": .string(row.what),
                        "first": row.firstDifference?.json ?? .null,
                        "max_ulp": row.maxUlp.map { .number(JSONNumber(Int(clamping: $0))) } ?? .null,
                        "max_difference": row.maxGap.map { .number(JSONNumber($0)) } ?? .null,
                    ]
                }
            ),
        ]
    }
}
