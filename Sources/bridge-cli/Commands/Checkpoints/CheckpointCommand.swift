import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime

/// Commands for Megatron checkpoints.
struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract: "List, check and prune Megatron checkpoints.",
        discussion: """
            EXAMPLES:
              bridge checkpoint list runs/sft
              bridge checkpoint check runs/sft/iter_0000500
              bridge checkpoint prune runs/sft --keep 3
            """,
        subcommands: [List.self, Check.self, Prune.self]
    )

    /// The iterations below a directory.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the iterations in a directory.")

        @Argument(help: "A directory with iterations.", completion: .directory)
        var path: String

        @OptionGroup var output: OutputOptions

        func run() throws {
            let rows = try NativeCheckpoint.checkpointsExpected(in: path).map { iteration, path in
                (iteration, path, try NativeCheckpoint(path: path))
            }
            if output.json {
                return Output.json(
                    .array(
                        rows.map { iteration, path, checkpoint in
                            [
                                "iteration": iteration.map { JSON($0) } ?? .null, "path": .string(path),
                                "architecture": .string(checkpoint.manifest.architecture),
                                "layout": .string(checkpoint.manifest.layout.description),
                                "bytes": JSON(checkpoint.manifest.files.reduce(0) { $0 + $1.byteCount }),
                            ]
                        }
                    )
                )
            }
            Output.table(
                [["ITERATION", "ARCHITECTURE", "LAYOUT", "SIZE", "PATH"]]
                    + rows.map { iteration, path, checkpoint in
                        [
                            iteration.map { "\($0)" } ?? "-", checkpoint.manifest.architecture,
                            checkpoint.manifest.layout.description,
                            ByteFormat.text(checkpoint.manifest.files.reduce(0) { $0 + $1.byteCount }), path,
                        ]
                    }
            )
        }
    }

    /// Verifies all checksums.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every file of a checkpoint and compare it with its checksum.",
            discussion: """
                Files of a checkpoint of another program that have no checksum are parsed, and are counted apart.
                """
        )

        @Argument(
            help: "A checkpoint, or a directory with iterations, of which the newest is used.",
            completion: .directory
        )
        var path: String

        @OptionGroup var progress: ProgressOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let health = try Watch.run { try NativeCheckpoint.check(path, context: $0) }
            let corruptFiles = health.corruptFiles
            if output.json {
                let result: JSON = [
                    "path": .string(health.path), "files": JSON(health.fileCount),
                    "compared_files": JSON(health.comparedCount),
                    "files_without_checksum": .array(health.uncheckedFiles.map { .string($0) }),
                    "corrupt_files": .array(
                        corruptFiles.map { ["file": .string($0.file), "problem": .string($0.problem)] }
                    ),
                ]
                Output.json(result.alsoUnder(["corrupt_files": "damages"]))
            }
            guard corruptFiles.isEmpty else {
                throw BridgeError(
                    .corruptInput,
                    "\(corruptFiles.count) of \(health.fileCount) files of \(health.path) are damaged",
                    names: corruptFiles.map { "\($0.file): \($0.problem)" }
                )
            }
            show(health)
        }

        /// Prints how many files were compared, and which have no checksum.
        private func show(_ health: NativeCheckpoint.CheckResult) {
            let (unchecked, compared, count) = (health.uncheckedFiles, health.comparedCount, health.fileCount)
            if compared > 0 {
                let which = unchecked.isEmpty ? "All \(count)" : "\(compared) of \(count)"
                output.say(Style.green("✅ \(which) files of \(health.path) match their checksums"))
            }
            guard !unchecked.isEmpty else { return }
            let which =
                compared > 0
                ? "\(unchecked.count) of \(count) files of \(health.path)" : "the \(count) files of \(health.path)"
            let names = unchecked.prefix(8).joined(separator: ", ") + (unchecked.count > 8 ? ", ..." : "")
            Output.warn(
                "without a checksum are \(which): what they consist of was checked, but a changed value is not found (\(names))"
            )
        }
    }

    /// Removes old iterations.
    struct Prune: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove all but the newest iterations.")

        @Argument(help: "A directory with iterations.", completion: .directory)
        var path: String

        @Option(name: .long, help: ArgumentHelp("Number of iterations to keep.", valueName: "n"))
        var keep: Int

        @Flag(name: .customLong("dry-run"), help: "Print what would be removed, and remove nothing.")
        var dryRun = false

        @OptionGroup var output: OutputOptions

        func validate() throws {
            if keep < 1 { throw ValidationError("--keep is \(keep), expected 1 or more") }
        }

        func run() throws {
            let removed = try Interrupt.withGracefulInterrupt {
                try NativeCheckpoint.prune(path, keeping: keep, dryRun: dryRun)
            }
            guard !output.json else {
                return Output.json(["dry_run": .bool(dryRun), "removed": .array(removed.map { .string($0) })])
            }
            if removed.isEmpty {
                Output.line("nothing to remove: the newest \(keep) iterations and the latest one of \(path) are kept")
            }
            for directory in removed {
                Output.line("\(dryRun ? "would remove" : "removed") \(directory)")
            }
        }
    }
}
