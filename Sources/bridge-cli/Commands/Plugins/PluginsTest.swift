import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import PluginConformance
import TensorRuntime

extension Plugins {
    /// Checks the rules of every plugin.
    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that a plugin keeps the rules of every plugin.",
            discussion: """
                Toys of each family are converted under several layouts, run and differentiated. Broken rules are listed with \
                the line of the plugin's table. With --hf-model a checkpoint is converted too, and with --reference its logits \
                are compared with those of the reference program: a safetensors file with input_ids and logits.

                EXAMPLES:
                  bridge plugins test build/libMyFamilyPlugin.so
                  bridge plugins test build/libMyFamilyPlugin.so --hf-model model \\
                    --reference logits.safetensors
                  bridge plugins test build/libMyFamilyPlugin.so \\
                    --plugin build/libKernelsPlugin.so
                """
        )

        @Argument(help: "The plugin.", completion: .file(extensions: ["so"]))
        var path: String

        @Option(
            name: .long,
            help: ArgumentHelp("Only this family; may be repeated. (default: all of the plugin)", valueName: "name")
        )
        var family: [String] = []

        @Option(
            name: .customLong("hf-model"),
            help: ArgumentHelp("A Hugging Face directory of a model of the plugin.", valueName: "path"),
            completion: .directory
        )
        var model: String?

        @Option(
            name: .long,
            help: ArgumentHelp("Inputs and logits of the reference program for that model.", valueName: "file"),
            completion: .file(extensions: ["safetensors"])
        )
        var reference: String?

        @Option(
            name: .customLong("plugin"),
            help: ArgumentHelp(
                "Another plugin, with kernels that this one uses; may be repeated.",
                valueName: "path"
            ),
            completion: .file(extensions: ["so"])
        )
        var others: [String] = []

        @Option(name: .customLong("state-file"), help: .hidden)
        var stateFile: String?

        @OptionGroup var threads: ThreadOptions

        @OptionGroup var output: OutputOptions

        func validate() throws {
            if reference != nil, model == nil {
                throw ValidationError("--reference has logits of a model; add its directory with --hf-model")
            }
        }

        func run() throws {
            guard let stateFile else { return try runInChild() }
            // The process that started this one prints the error.
            Interrupt.endsSilently()
            let catalog = try PluginCatalog(files: [path] + others, directories: [], triesFirst: true)
            let own = catalog.plugins.first?.plugin.bridges.map(\.name) ?? []
            guard !own.isEmpty else {
                throw BridgeError(
                    .badArgument,
                    "\(path) has no family, only kernels, and the rules are about families; test the plugin that uses them"
                )
            }
            let suite = ConformanceSuite(
                catalog: catalog,
                engine: CPUEngine(threadCount: threads.count),
                fixtures: model.map { [ReferenceFixture(checkpoint: $0, reference: reference)] } ?? []
            )
            var shown = ""
            let results = try suite.run(
                families: family.isEmpty ? own : family,
                willCheck: { family, rule in
                    note("\(family), while it was checked that \(rule.summary)", in: stateFile)
                    guard !output.json, shown != family else { return }
                    shown = family
                    Output.line(Style.bold(family))
                },
                didCheck: { if !output.json { Self.show($0) } }
            )
            note(Self.finished, in: stateFile)
            let broken = results.filter { !$0.findings.isEmpty }
            let checked = results.filter { if case .skipped = $0.outcome { false } else { true } }
            if output.json {
                Output.json([
                    "plugin": .string(path), "checked": JSON(checked.count), "broken": JSON(broken.count),
                    "results": .array(results.map(\.json)),
                ])
            }
            guard broken.isEmpty else {
                throw BridgeError(
                    .badPlugin,
                    "\(path) breaks \(broken.count) of \(checked.count) rules; correct the lines above and test again"
                )
            }
            output.say(Style.green("✅ \(path) keeps all \(checked.count) rules that were checked"))
            let compared = results.contains { $0.rule == .parity && $0.outcome == .kept }
            let runs = catalog.bridges.contains { own.contains($0.name) && $0.conversionOnly == nil }
            guard runs, !compared else { return }
            output.say(
                Style.yellowResult(
                    "The logits were not compared with those of the reference program: give a model with --hf-model and its logits "
                        + "with --reference"
                )
            )
        }

        private static let finished = "finished"

        private func note(_ text: String, in file: String) { try? Files.replace(file, with: Array(text.utf8)) }

        private static func show(_ result: ConformanceResult) {
            switch result.outcome {
            case .kept: Output.line("  ✅ \(result.rule.summary)")
            case .skipped(let reason): Output.line("  –  \(result.rule.summary): not checked, \(reason)")
            case .broken(let findings):
                Output.line("  ❌ \(Style.red(result.rule.summary))")
                for finding in findings { Output.line("       \(finding.sentence)") }
            }
        }

        /// Runs the same command in a process of its own, because code of a plugin may end the process that runs it.
        private func runInChild() throws {
            let file = FileManager.default.temporaryDirectory.appending(path: "bridge-plugin-test-\(UUID().uuidString)")
                .path
            defer { try? FileManager.default.removeItem(atPath: file) }
            note("its families, while it was loaded", in: file)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = CommandLine.arguments.dropFirst() + ["--state-file", file]
            try Interrupt.withGracefulInterrupt {
                try process.run()
                while process.isRunning {
                    if Interrupt.cancellation.isCancelled { kill(process.processIdentifier, SIGKILL) }
                    usleep(10_000)
                }
            }
            if Interrupt.cancellation.isCancelled { throw BridgeError(.cancelled, "interrupted") }
            let state = String(decoding: (try? Files.contents(of: file)) ?? [], as: UTF8.self)
            let status = process.terminationStatus
            if process.terminationReason == .uncaughtSignal {
                throw BridgeError(
                    .badPlugin,
                    "\(path) stopped the process with signal \(status) in \(state); its code has to throw errors instead"
                )
            }
            guard status == 0 else { throw ExitCode(status) }
            guard state == Self.finished else {
                throw BridgeError(.badPlugin, "\(path) ended the process in \(state); a plugin must not call exit")
            }
        }
    }
}
