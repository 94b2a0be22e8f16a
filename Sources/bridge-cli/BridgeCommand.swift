import ArgumentParser
import BridgeCore
import JSONTree

/// The root of the command line.
struct BridgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bridge",
        abstract: "Convert models between Hugging Face and Megatron, run them and fine-tune them.",
        discussion: """
            EXAMPLES:
              bridge toy --family mistral --output toy
              bridge convert --hf-model toy --megatron-path toy-megatron --tp 2
              bridge convert export --megatron-path toy-megatron --hf-path toy-again
              bridge verify toy toy-again
              bridge generate --hf-model toy --prompt 'Hello' --max-new-tokens 20

            'bridge --version --json' prints the instruction sets of this machine too; BRIDGE_MAX_CPU_ISA=PORTABLE, AVX2, \
            AVX512, AVX512_BF16 or AMX limits those that are used.

            EXIT STATUS:
              0 done   1 failed   2 tensors not accounted for   3 verification failed
              4 corrupt input   5 training diverged   64 wrong usage   130 interrupted
            """,
        version: PluginLoader.version,
        subcommands: [
            Convert.self, Verify.self, Reshard.self, Inspect.self, CheckpointCommand.self, Generate.self, Chat.self,
            Forward.self, Train.self, CompareRuns.self, PlanCommand.self, Evaluate.self, DataCommand.self, Adapter.self,
            Recipes.self,
            Tokenize.self,
            Models.self, HubCommand.self,
            Plugins.self, Toy.self, Quantize.self, ProcessInputs.self, Selftest.self, DoctorCommand.self, Card.self,
        ]
    )
}

extension BridgeCommand {
    /// Errors of the parser begin like all others.
    static var _errorPrefix: String { Failure.prefix }
}

@main
enum Main {
    static func main() {
        StandardStreams.openMissing()
        BoundLauncher.begin(CommandLine.arguments)
        BoundLauncher.bindRank()
        // Commands that write results handle signals themselves, see Interrupt.withGracefulInterrupt.
        Interrupt.install(exitsImmediately: true)
        let words = CommandWords(Array(CommandLine.arguments.dropFirst()))
        OutputMode.use(words.mode)
        Interrupt.answersInJSON(words.mode.json)
        Interrupt.use(rank: RankEnvironment.rank)
        MappedFileFault.install()
        do { try run(words) } catch { Failure.report(error, words) }
        Failure.end(0)
    }

    private static func run(_ words: CommandWords) throws {
        if let script = CompletionScript.asked(by: words.typed[...]) { return Output.lines(script) }
        if try ManualPages.write(askedBy: words.typed) { return }
        if let problem = words.problem { Failure.reportUsage(problem, words) }
        var command: any ParsableCommand =
            words.asksForVersionReport ? BridgeCommand() : try BridgeCommand.parseAsRoot(words.words)
        try ProcessorLimit.apply()
        if words.asksForVersionReport { return Output.json(VersionReport.json) }
        try command.run()
    }
}
