import ArgumentParser
import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// Tests of this program on this machine.
struct Selftest: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Test this program on this machine.",
        discussion: """
            EXAMPLES:
              bridge selftest parallel --family mistral --steps 2
            """,
        subcommands: [Parallel.self, Collectives.self]
    )

    /// Compares training under every layout with training on one rank.
    struct Parallel: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Train a toy of every family under each layout, and compare with one rank.",
            discussion: """
                Losses and gradient norms of every step are compared with those of one rank, with packed and with unpacked \
                rows. The ranks are threads of this process, or those of the launcher that started it. The exit status is 1 \
                if a difference is larger than rounding explains.

                EXAMPLES:
                  bridge selftest parallel --family mistral --steps 2
                  bridge selftest parallel --family mistral --steps 1 --json
                """
        )

        @Option(
            name: [.customLong("nproc-per-node"), .customLong("nproc")],
            help: ArgumentHelp("Number of ranks, as threads of this process.", valueName: "n")
        )
        var ranksPerHost = 4

        @Option(name: .long, help: ArgumentHelp("Number of training steps.", valueName: "n"))
        var steps = 4

        @Option(
            name: .long,
            help: ArgumentHelp("Only this family. (default: all)", valueName: "name"),
            completion: CompletionValues.families
        )
        var family: String?

        @OptionGroup var plugins: PluginOptions

        @OptionGroup var output: OutputOptions

        func validate() throws {
            guard (1...64).contains(ranksPerHost) else {
                throw ValidationError("--nproc-per-node is \(ranksPerHost), expected 1 to 64")
            }
            guard (1...1000).contains(steps) else { throw ValidationError("--steps is \(steps), expected 1 to 1000") }
        }

        func run() throws {
            let environment = RankEnvironment.current
            try environment.check("bridge selftest parallel")
            let world = environment == .mpi ? try Ranks.join(threads: 1, binds: true) : nil
            let catalog = try plugins.catalog()
            let families = family.map { [$0] } ?? catalog.bridges.map(\.name).sorted()
            var results: [Result] = []
            if !output.json { Result.showHeader() }
            for family in families { results += try test(family, catalog, world) }
            let failures = results.filter { !$0.passed }.count
            if output.json {
                Output.json([
                    "ranks": JSON(world?.size ?? ranksPerHost), "steps": JSON(steps), "failed": JSON(failures),
                    "tolerance": JSON(LayoutSelftest.tolerance), "layouts": .array(results.map(\.json)),
                ])
            } else {
                Output.line()
                Output.line(
                    failures == 0
                        ? Style.green("✅ All \(results.count) layouts agree with one rank")
                        : Style.red("\(failures) of \(results.count) layouts differ from one rank")
                )
            }
            if failures > 0 { throw ExitCode(1) }
        }

        /// The layouts of one family.
        private func test(_ family: String, _ catalog: PluginCatalog, _ world: (any RankWorld)?) throws -> [Result] {
            // Each rank of a launcher has a toy of its own: hosts share no directory.
            let directory = FileManager.default.temporaryDirectory.appending(
                path: "bridge-selftest-\(ProcessInfo.processInfo.processIdentifier)-\(family)"
            ).path
            defer { try? FileManager.default.removeItem(atPath: directory) }
            let toy = try ToyModel(family: family, options: .init(elementType: .float32), catalog: catalog)
            _ = try toy.write(to: directory, overwrite: true)
            let ranks = world?.size ?? ranksPerHost
            let test = try LayoutSelftest(
                directory,
                catalog: catalog,
                ranks: ranks,
                steps: steps,
                logger: Watch.logger
            )
            let single = try test.run(LayoutSelftest.Variant(ParallelLayout()), in: SingleRankWorld())
            var results: [Result] = []
            func add(_ variant: LayoutSelftest.Variant, _ curve: LayoutSelftest.Curve) {
                let result = Result(family: family, variant: variant, curve: curve, expected: single)
                if !output.json { result.show() }
                results.append(result)
            }
            add(LayoutSelftest.Variant(ParallelLayout()), single)
            if test.packs {
                let packed = LayoutSelftest.Variant(ParallelLayout(), packs: true)
                add(packed, try test.run(packed, in: SingleRankWorld()))
            }
            for variant in test.variants where ranks > 1 {
                let curve =
                    try world.map { try test.run(variant, in: $0) }
                    ?? ThreadWorld.run(ranks) { try test.run(variant, in: $0) }.first
                add(variant, curve ?? LayoutSelftest.Curve())
            }
            return results
        }
    }

    /// The result of a layout.
    struct Result {
        let family: String
        let variant: LayoutSelftest.Variant
        let curve: LayoutSelftest.Curve
        let expected: LayoutSelftest.Curve

        var passed: Bool {
            let differences = curve.differences(from: expected)
            return max(differences.loss, differences.norm) <= LayoutSelftest.tolerance
        }

        private static let widths = [13, 52, 10, 10, 12, 12]

        private static func row(_ cells: [String]) {
            let padded = zip(cells, widths).map { $0 + String(repeating: " ", count: max(0, $1 - $0.count)) }
            Output.line((padded + cells.dropFirst(widths.count)).joined(separator: " "))
        }

        static func showHeader() {
            row(["FAMILY", "LAYOUT", "LAST LOSS", "LAST NORM", "LOSS DIFF", "NORM DIFF", "RESULT"])
        }

        func show() {
            let differences = curve.differences(from: expected)
            func text(_ value: Double?, _ format: String) -> String { value.map { String(format: format, $0) } ?? "-" }
            Self.row([
                family, variant.name, text(curve.losses.last, "%.6f"), text(curve.norms.last, "%.5f"),
                text(differences.loss, "%.1e"), text(differences.norm, "%.1e"), passed ? "ok" : Style.red("failed"),
            ])
        }

        var json: JSON {
            let differences = curve.differences(from: expected)
            let layout = variant.layout
            return [
                "family": .string(family), "tensor_model_parallel_size": JSON(layout.tensor),
                "pipeline_model_parallel_size": JSON(layout.pipeline), "context_parallel_size": JSON(layout.context),
                "data_parallel_size": JSON(layout.data), "sequence_parallel": .bool(variant.sequenceParallel),
                "packed": .bool(variant.packs), "losses": .array(curve.losses.map { JSON($0) }),
                "gradient_norms": .array(curve.norms.map { JSON($0) }), "loss_difference": JSON(differences.loss),
                "norm_difference": JSON(differences.norm), "passed": .bool(passed),
            ]
        }
    }
}
