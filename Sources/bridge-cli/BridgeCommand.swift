import ArgumentParser
import BridgeCore
import JSONTree

/// The root of the command line.
struct BridgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bridge",
        abstract: "Moves models between Hugging Face and Megatron, and runs them.",
        discussion: """
            EXAMPLES:
              bridge toy --family mistral --output toy
              bridge convert --hf-model toy --megatron-path toy-megatron --tp 2
              bridge convert export --megatron-path toy-megatron --hf-path toy-again
              bridge verify toy toy-again
              bridge generate --hf-model toy --prompt 'Hello' --max-new-tokens 20

            'bridge --version --json' also shows the processor's features and libraries; BRIDGE_MAX_CPU_ISA=PORTABLE, AVX2, AVX512,
            AVX512_BF16 or AMX limits the instructions that are used.

            EXIT STATUS:
              0 done   1 failed   2 tensors not accounted for   3 verification failed   4 corrupt input
              64 wrong usage   130 interrupted
            """,
        version: PluginLoader.version,
        subcommands: [
            Convert.self, Verify.self, Reshard.self, Inspect.self, CheckpointCommand.self, Generate.self, Chat.self,
            Forward.self, Train.self, Evaluate.self, DataCommand.self, Adapter.self, Recipes.self, Tokenize.self,
            Models.self, HubCommand.self,
            Plugins.self, Toy.self, ProcessInputs.self,
        ]
    )
}

@main
enum Main {
    static func main() {
        StandardStreams.openMissing()
        // Commands that write something say when a signal has to wait, see Interrupt.withGracefulInterrupt.
        Interrupt.install(exitsImmediately: true)
        MappedFileFault.install()
        do { try run() } catch { Failure.report(error) }
        Failure.end(0)
    }

    private static func run() throws {
        let arguments = CommandLine.arguments.dropFirst()
        if let script = CompletionScript.asked(by: arguments) { return Output.lines(script) }
        let asksForReport = VersionReport.isAsked(by: arguments)
        var command: any ParsableCommand = asksForReport ? BridgeCommand() : try BridgeCommand.parseAsRoot()
        try ProcessorLimit.apply()
        if asksForReport { return Output.json(VersionReport.json) }
        try command.run()
    }
}
