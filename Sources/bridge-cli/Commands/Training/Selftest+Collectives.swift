import ArgumentParser
import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime

extension Selftest {
    /// Measures the collectives between ranks.
    struct Collectives: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure the collectives between ranks.",
            discussion: """
                Each collective is measured several times; the table has the median of the slowest rank, and the bytes of the \
                tensor per second. The copy is one in the memory of a rank, with its threads.

                EXAMPLES:
                  bridge selftest collectives --nproc-per-node 2 --bytes 1048576
                  bridge selftest collectives --nproc-per-node 2 --bytes 4096 --json
                """
        )

        @Option(
            name: .long,
            help: ArgumentHelp(
                "Size of a tensor; may be given several times. (default: 4 KiB, 1 MiB, 64 MiB)",
                valueName: "n"
            )
        )
        var bytes: [Int] = []

        @Option(name: .long, help: ArgumentHelp("Number of measurements of each collective.", valueName: "n"))
        var rounds = 9

        @OptionGroup var ranks: RankOptions

        @OptionGroup var threads: ThreadOptions

        @OptionGroup var output: OutputOptions

        func validate() throws {
            guard (1...10_000).contains(rounds) else {
                throw ValidationError("--rounds is \(rounds), expected 1 to 10000")
            }
            if let size = bytes.first(where: { !(1...1 << 32).contains($0) }) {
                throw ValidationError("--bytes is \(size), expected 1 to \(1 << 32)")
            }
        }

        func run() throws {
            // Until all is measured there is no result to keep.
            Interrupt.exitsImmediately(true)
            let world = try ranks.world(
                "bridge selftest collectives",
                threads: threads.asked,
                advice: "run the same command again"
            )
            guard world.size > 1 else {
                throw BridgeError(.badArgument, "there is one rank, expected at least 2; give --nproc-per-node 2")
            }
            let group = try world.group(Array(0..<world.size), name: "world")
            // Every rank has as many numbers.
            let unit = 4 * world.size
            let sizes = (bytes.isEmpty ? [4 << 10, 1 << 20, 64 << 20] : bytes).map { ($0 + unit - 1) / unit * unit }
            let times = try CollectiveTimes(
                group,
                byteCounts: sizes,
                rounds: rounds,
                on: CPUEngine(threadCount: threads.count)
            )
            guard world.rank == 0 else { return }
            guard output.json else { return show(times, ranks: world.size) }
            Output.json([
                "ranks": JSON(world.size), "cores": CoreReport(Ranks.cores).json,
                "collectives": .array(
                    times.entries.map { entry in
                        [
                            "name": .string(entry.name), "bytes": JSON(entry.byteCount), "seconds": JSON(entry.seconds),
                            "bytes_per_second": JSON(Double(entry.byteCount) / entry.seconds),
                        ]
                    }
                ),
            ])
        }

        private func show(_ times: CollectiveTimes, ranks: Int) {
            var rows = [["collective of \(ranks) ranks", "bytes", "us", "GB/s"]]
            rows += times.entries.map { entry in
                [
                    entry.name, "\(entry.byteCount)", String(format: "%.1f", entry.seconds * 1e6),
                    String(format: "%.2f", Double(entry.byteCount) / entry.seconds / 1e9),
                ]
            }
            Output.table(rows)
        }
    }
}
